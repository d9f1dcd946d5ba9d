package provider

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/signing"
)

var bluumOptions = map[string]string{
	"scheme": "body (HMAC of the body in one header), timestamped (t=,v1= in one header), standard (webhook-id, webhook-timestamp, webhook-signature) or svix " +
		"(the same under svix-) (default body, which is assumed)",
	"header":    "with scheme body or timestamped, the name of the header (default X-Bluum-Signature, which is assumed)",
	"algorithm": "with scheme body, sha256, sha1 or sha512 (default sha256, which is assumed)",
	"encoding":  "with scheme body, hex or base64 (default hex, which is assumed)",
	"prefix":    "with scheme body, what stands before the digest, such as sha256= (default nothing)",
	"tolerance": "with any other scheme, how old a signature may be (default 5m)",
	"metadata":  "the key of metadata that holds our id (default external_id)",
}

// bluumFits lists the options that each scheme has.
var bluumFits = map[string][]string{
	"body":        {"header", "algorithm", "encoding", "prefix"},
	"timestamped": {"header", "tolerance"},
	"standard":    {"tolerance"},
	"svix":        {"tolerance"},
}

func bluumScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(bluumOptions); err != nil {
		return nil, err
	}
	kind, err := o.oneOf("scheme", "body", "timestamped", "standard", "svix")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"header", "algorithm", "encoding", "prefix", "tolerance"} {
		if _, ok := o[name]; ok && !slices.Contains(bluumFits[kind], name) {
			return nil, fmt.Errorf("option %s: scheme %s has none; remove it, or set another scheme", name, kind)
		}
	}
	if name, ok := o["metadata"]; ok && name == "" {
		return nil, errors.New("option metadata: it needs the name of a key, such as external_id")
	}
	header := "X-Bluum-Signature"
	if h, ok := o["header"]; ok {
		if header = h; h == "" || strings.ContainsFunc(h, func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z') }) {
			return nil, errors.New("option header: it needs the name of a header, such as X-Bluum-Signature")
		}
	}
	algorithm, err := o.oneOf("algorithm", string(signing.SHA256), string(signing.SHA1), string(signing.SHA512))
	if err != nil {
		return nil, err
	}
	encoding, err := o.oneOf("encoding", string(signing.Hex), string(signing.Base64))
	if err != nil {
		return nil, err
	}
	tolerance, err := o.tolerance(5*time.Minute, false)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "timestamped":
		return signing.Timestamped{Header: header, Tolerance: tolerance, Ahead: tolerance}, nil
	case "standard":
		return signing.StandardWebhooks{Tolerance: tolerance}, nil
	case "svix":
		return signing.StandardWebhooks{HeaderPrefix: kind, Tolerance: tolerance}, nil
	}
	return signing.BodyHMAC{Header: header, Hash: signing.HashName(algorithm), Encoding: signing.Encoding(encoding), Prefix: o["prefix"]}, nil
}
