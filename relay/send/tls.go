package send

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// TLSFiles name PEM files for the connections to one endpoint; "": none. Cert and Key go together.
type TLSFiles struct {
	CA   string // authorities that are believed, and no others; "": the system's
	Cert string // what we show of ourselves, with its chain
	Key  string
}

// TLSError says which of the files cannot be used, and what to do about it.
type TLSError struct{ Key, Problem, Remedy string } // Key is ca, cert or key

// Error returns all of it.
func (e *TLSError) Error() string { return "tls." + e.Key + ": " + e.Problem + "; " + e.Remedy }

// Check reads the files as a connection would; its errors are *TLSError.
func (f TLSFiles) Check() error {
	_, err := f.load()
	return err
}

// Leaf returns the certificate that is shown, nil without one or if it cannot be read.
func (f TLSFiles) Leaf() *x509.Certificate {
	c, err := f.load()
	if err != nil || len(c.Certificates) == 0 {
		return nil
	}
	return c.Certificates[0].Leaf
}

const maxPEM = 1 << 20

func (f TLSFiles) load() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		text, err := readPEM("ca", f.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, &TLSError{"ca", f.CA + " holds no certificate of an authority", "name a PEM file that begins with -----BEGIN CERTIFICATE-----"}
		}
	}
	if f.Cert == "" && f.Key == "" {
		return c, nil
	}
	cert, err := readPEM("cert", f.Cert)
	if err != nil {
		return nil, err
	}
	key, err := readPEM("key", f.Key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, pairError(f, cert, key, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// pairError says which of the two is wrong. crypto/tls quotes no more of a file than the types of
// its blocks.
func pairError(f TLSFiles, cert, key []byte, err error) error {
	switch {
	case !strings.Contains(string(cert), "-----BEGIN CERTIFICATE-----"):
		return &TLSError{"cert", f.Cert + " holds no certificate", "name a PEM file that begins with -----BEGIN CERTIFICATE-----"}
	case strings.Contains(string(key), "ENCRYPTED"):
		return &TLSError{"key", f.Key + " is locked with a passphrase", "write it without one, readable for countersign only: openssl pkey -in KEY -out NEW"}
	case !strings.Contains(string(key), "PRIVATE KEY-----"):
		return &TLSError{"key", f.Key + " holds no private key", "name a PEM file that begins with -----BEGIN PRIVATE KEY-----"}
	case strings.Contains(err.Error(), "does not match"):
		return &TLSError{"key", f.Key + " is not the key of the certificate in " + f.Cert, "name the key that the certificate was made for"}
	}
	return &TLSError{"cert", f.Cert + " and " + f.Key + " cannot be used: " + strings.TrimPrefix(err.Error(), "tls: "), "name a PEM certificate (with its chain) and the PEM key that belongs to it"}
}

func readPEM(key, path string) ([]byte, error) {
	unreadable := func(why string) error {
		return &TLSError{key, path + " cannot be read: " + why, "name a PEM file that countersign may read"}
	}
	if path == "" {
		return nil, &TLSError{key, "is missing", "certificate and key go together: give both, or neither"}
	}
	fi, err := os.Stat(path)
	if err == nil && (!fi.Mode().IsRegular() || fi.Size() > maxPEM) {
		return nil, unreadable("it is no regular file, or over 1 MiB")
	}
	var file *os.File
	if err == nil {
		file, err = os.Open(path) //nolint:gosec // the operator names the file
	}
	var text []byte
	if err == nil {
		defer file.Close() //nolint:errcheck // it was only read
		text, err = io.ReadAll(io.LimitReader(file, maxPEM))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, unreadable("it does not exist")
	case errors.Is(err, fs.ErrPermission):
		return nil, unreadable("permission denied")
	case err != nil:
		return nil, unreadable("the read failed")
	}
	return text, nil
}

// stamps tell files that have changed from those that have not.
type stamps [3]string

func (f TLSFiles) stamps() (s stamps) {
	for i, path := range []string{f.CA, f.Cert, f.Key} {
		if path == "" {
			continue
		}
		s[i] = "gone"
		if fi, err := os.Stat(path); err == nil {
			s[i] = fmt.Sprint(fi.Size(), fi.ModTime().Format(time.RFC3339Nano))
		}
	}
	return s
}
