package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"countersign/signing"
)

// listenKeyFile is the name of the file, in the user's directory for configurations, in which
// listen keeps its key.
const listenKeyFile = "countersign/listen.key"

// keptKey is the key that listen has between two starts: what stands in file, made there if there
// is no such file yet, with mode 0600. One that cannot be used is refused and left as it is.
func keptKey(file string) (k signing.Key, made bool, err error) {
	if _, err = os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		if made, err = makeKeptKey(file); err != nil {
			return k, false, fmt.Errorf("make the key file: %w; name another with --key-file, or give a key with --key", err)
		}
	}
	text, m := readSecretFile(file)
	if m != nil {
		return k, false, fmt.Errorf("%s; it is left as it is: correct it, or move it aside and a new one is made", m.what)
	}
	if !strings.HasPrefix(text, "whsec_") {
		return k, false, fmt.Errorf("the key file %s is damaged, or holds no key of listen's: it does not begin with whsec_; it is left as it is: correct it, or move it aside and a new one is made", file)
	}
	if k, err = signing.StandardKey(text); err != nil {
		return k, false, fmt.Errorf("the key file %s is damaged: %w; it is left as it is: correct it, or move it aside and a new one is made", file, err)
	}
	return k, made, nil
}

// makeKeptKey makes the file as a whole or not at all, and never in the place of another; made is
// false if somebody else was faster.
func makeKeptKey(file string) (made bool, err error) {
	text, _, err := signing.GenerateKey(rand.Reader)
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return false, err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".listen-*.key") // mode 0600
	if err != nil {
		return false, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it has its name, or is of no use
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return false, err
	}
	err = os.Link(f.Name(), file)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// keyPlace is where listen keeps its key.
func (cmd *listenCommand) keyPlace() (string, error) {
	if cmd.KeyFile != "" {
		return cmd.KeyFile, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", usageError(fmt.Sprintf("there is no place to keep the key (%v): name a file with --key-file, or give a key with --key", err))
	}
	return filepath.Join(dir, listenKeyFile), nil
}

// keyring is what listen verifies with, and the references under which a config finds it.
func (cmd *listenCommand) keyring(c *console) (keys signing.Keyring, refs []string, err error) {
	if len(cmd.Key) > 0 {
		if cmd.KeyFile != "" {
			return nil, nil, usageError("listen takes --key or --key-file, not both")
		}
		for _, ref := range cmd.Key {
			if path, m := fileRef(ref, "."); m == nil {
				if path, err = filepath.Abs(path); err == nil {
					ref = "file:" + path
				}
			}
			refs = append(refs, ref)
		}
		keys, err = readKeys(c, cmd.Key)
		return keys, refs, err
	}
	file, err := cmd.keyPlace()
	if err != nil {
		return nil, nil, err
	}
	if file, err = filepath.Abs(file); err != nil {
		return nil, nil, fmt.Errorf("find the key file: %w", err)
	}
	k, made, err := keptKey(file)
	if err != nil {
		return nil, nil, err
	}
	what := "the key is the one in"
	if made {
		what = "made a key, which is kept in"
	}
	c.printf("%s %s; move the file aside to have another, or name one with --key-file\n", what, file)
	if fi, err := os.Stat(file); err == nil && fi.Mode().Perm()&0o077 != 0 {
		c.printf("warning: %s\n", exposedFile{file, fi.Mode()})
	}
	return signing.Keyring{k}, []string{"file:" + file}, nil
}

// introduce prints how a gateway gets to know this partner: what may be pasted into its config, and
// the command that does the same while it runs.
func (cmd *listenCommand) introduce(c *console, at net.Addr, refs []string) {
	url := "http://" + reachable(at.String()) + "/"
	with := ""
	if cmd.Format != "standard" {
		with = "format: " + cmd.Format + ", "
	}
	quoted := make([]string, len(refs))
	for i, ref := range refs {
		quoted[i] = strconv.Quote(ref)
	}
	c.printf("\nIn the config of a gateway on this machine:\n\n")
	c.printf("partners:\n  - id: acme\n    endpoints:\n      - {id: acme-listen, url: %q, %skeys: [%s]}\n", url, with, strings.Join(quoted, ", "))
	c.printf("\nOr, while it runs, with a key that the gateway makes:\n\n")
	command := "countersign endpoints create acme acme-listen --url " + url
	if with != "" {
		command += " --format " + cmd.Format
	}
	c.printf("%s --out acme-listen.key\ncountersign listen --addr %s", command, at)
	if with != "" {
		c.printf(" --format %s", cmd.Format)
	}
	c.printf(" --key file:acme-listen.key\n\n")
}
