package send

import (
	"crypto/tls"
	"fmt"
	"net/netip"
)

// Judge tells an address that may not be called, as the guard of every connection does: for whoever
// wants to know it before a connection is tried.
func Judge(live bool, allow []netip.Prefix) func(netip.Addr) error {
	g := newGuard(live, allow)
	return func(a netip.Addr) error {
		if err := g.SafeAddr(a.Unmap()); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return nil
	}
}

// Config is the TLS of a connection with these files, as they are now; errors are *TLSError.
func (f TLSFiles) Config() (*tls.Config, error) { return f.load() }
