package provider

import (
	"net/http"
	"testing"
	"time"
)

// BenchmarkDecode is what reading a body costs, without what is made of it: Sumsub's are among the
// most frequent.
func BenchmarkDecode(b *testing.B) {
	body, err := Sample("sumsub", "approved", SampleVars{Subject: "user-7", At: time.Date(2026, 5, 1, 12, 30, 15, 0, time.UTC)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		var v sumsubBody
		if err := decode(body, &v); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTranslate is the same with what is made of it, for four providers.
func BenchmarkTranslate(b *testing.B) {
	for adapter, event := range map[string]string{"onfido": "approved", "persona": "approved", "sumsub": "approved", "veriff": "approved"} {
		b.Run(adapter, func(b *testing.B) {
			a, _ := ByName(adapter)
			body, err := Sample(adapter, event, SampleVars{Subject: "user-7", At: time.Date(2026, 5, 1, 12, 30, 15, 0, time.UTC)})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if r, err := a.Translate(http.Header{}, body, nil); err != nil || r.Disposition() != "update" {
					b.Fatal(r, err)
				}
			}
		})
	}
}
