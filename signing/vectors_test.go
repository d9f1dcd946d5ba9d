package signing

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// vector is one request with a known verdict.
type vector struct {
	Provider string            `json:"provider"`
	Name     string            `json:"name"`
	Secret   string            `json:"secret"`
	Headers  map[string]string `json:"headers"`
	Valid    bool              `json:"valid"`
	At       int64             `json:"at"` // 0: the scheme has no clock
	Options  map[string]string `json:"options"`
	Note     string            `json:"note"`
	Source   string            `json:"source"`
	Body     []byte            `json:"body"`
}

func loadVectors(tb testing.TB) []vector {
	tb.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		tb.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(b, &all); err != nil {
		tb.Fatal(err)
	}
	return all
}

// settings is how each provider's vectors are to be judged.
var settings = map[string]func(v vector) Scheme{
	"sumsub": func(v vector) Scheme {
		alg := v.Options["algorithm"]
		return BodyHMAC{
			Header: "X-Payload-Digest", Hash: HashName(alg),
			Announce: "X-Payload-Digest-Alg", Announced: "HMAC_" + strings.ToUpper(alg) + "_HEX",
		}
	},
	"persona": func(v vector) Scheme {
		tolerance, _ := time.ParseDuration(v.Options["tolerance"])
		return Timestamped{Header: "Persona-Signature", Tolerance: tolerance}
	},
	"stripe_identity": func(vector) Scheme { return Timestamped{Header: "Stripe-Signature", Tolerance: 5 * time.Minute} },
	"blendfi": func(v vector) Scheme {
		if strings.HasPrefix(v.Name, "v1_") {
			return Timestamped{Header: "X-Blendfi-Signature", Tolerance: 5 * time.Minute}
		}
		return BodyHMAC{Header: "X-BlendFi-Signature"}
	},
	"footprint": func(vector) Scheme { return StandardWebhooks{HeaderPrefix: "svix"} },
	"rebilly":   func(vector) Scheme { return Static{Scheme: Basic} },
	"alloy": func(v vector) Scheme {
		if v.Options["scheme"] == "basic" {
			return Static{Scheme: Basic}
		}
		return BodyHMAC{Header: "Authorization", Encoding: Base64}
	},
	"onfido":     bodyHex("X-SHA2-Signature"),
	"dojah":      bodyHex("x-dojah-signature"),
	"veriff":     bodyHex("X-HMAC-SIGNATURE"),
	"complycube": bodyHex("ComplyCube-Signature"),
	"bluum":      bodyHex("X-Bluum-Signature"),
	"middesk":    bodyHex("X-Middesk-Signature-256"),
	"checkr":     bodyHex("X-Checkr-Signature"),
	"trulioo": func(v vector) Scheme {
		if v.Options["scheme"] == "token" {
			return BodyToken{Member: "token"}
		}
		return BodyHMAC{Header: "x-trulioo-signature", Hash: SHA256, Encoding: Hex}
	},
	"shufti": func(v vector) Scheme {
		return DigestSuffix{Header: "Signature", Plain: v.Options["secret_form"] == "plain"}
	},
	"smile_id": func(v vector) Scheme {
		s := smile
		if text, ok := v.Options["tolerance"]; ok {
			s.Tolerance, _ = time.ParseDuration(text)
		}
		return s
	},
	"jumio":  func(vector) Scheme { return Unsigned{} },
	"idenfy": bodyHex("Idenfy-Signature"),
	"didit":  bodyHex("X-Signature"),
}

func bodyHex(header string) func(vector) Scheme {
	return func(vector) Scheme { return BodyHMAC{Header: header, Hash: SHA256, Encoding: Hex} }
}

func (v vector) scheme(tb testing.TB) Scheme {
	tb.Helper()
	f := settings[v.Provider]
	if f == nil {
		tb.Fatalf("no setting for the vectors of %s", v.Provider)
	}
	return f(v)
}

func (v vector) header() headers {
	h := headers{}
	for name, value := range v.Headers {
		h.Add(name, value)
	}
	return h
}

// keys is a ring of the vector's secret, empty for a provider that signs nothing.
func (v vector) keys(tb testing.TB) Keyring {
	tb.Helper()
	if v.Secret == "" {
		return nil
	}
	return Keyring{mustKey(tb, v.Secret)}
}

func (v vector) verify(tb testing.TB) error {
	tb.Helper()
	s, keys := v.scheme(tb), v.keys(tb)
	if err := CheckKeys(s, keys); err != nil {
		tb.Errorf("%s/%s: CheckKeys: %v", v.Provider, v.Name, err)
	}
	return s.Verify(v.header(), v.Body, keys, time.Unix(v.At, 0))
}

func TestVectors(t *testing.T) {
	providers := map[string]bool{}
	for _, v := range loadVectors(t) {
		providers[v.Provider] = true
		if err := v.verify(t); (err == nil) != v.Valid {
			t.Errorf("%s/%s: Verify = %v, want valid = %v (%s)", v.Provider, v.Name, err, v.Valid, v.Note)
		}
	}
	for name := range settings {
		if !providers[name] {
			t.Errorf("the setting for %s judges nothing", name)
		}
	}
}

// TestEverySchemeHasVectors reads the package's own source, so that a scheme added without vectors
// fails.
func TestEverySchemeHasVectors(t *testing.T) {
	valid, invalid := map[string]bool{}, map[string]bool{}
	for _, v := range loadVectors(t) {
		name := reflect.TypeOf(v.scheme(t)).Name()
		if Keyless(v.scheme(t)) {
			invalid[name] = true // it refuses nothing
		}
		if v.Valid {
			valid[name] = true
		} else {
			invalid[name] = true
		}
	}
	names := exportedSchemes(t)
	if len(names) < 8 {
		t.Fatalf("found only %v", names)
	}
	for _, name := range names {
		if !valid[name] || !invalid[name] {
			t.Errorf("%s: valid vectors %v, invalid vectors %v, want both", name, valid[name], invalid[name])
		}
	}
}

// exportedSchemes lists the exported types that have a method Verify.
func exportedSchemes(t *testing.T) []string {
	t.Helper()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || fn.Name.Name != "Verify" {
				continue
			}
			if id, ok := fn.Recv.List[0].Type.(*ast.Ident); ok && id.IsExported() {
				names = append(names, id.Name)
			}
		}
	}
	return names
}
