package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assetFiles embed.FS

// assets are the stylesheet, the script and the icon. Each is found by a name with its digest in
// it, so that a browser may keep it for ever.
type assets struct {
	named  map[string]string // by its name: the one with the digest
	served map[string][]byte // by that
}

func readAssets() (a assets, err error) {
	a = assets{named: map[string]string{}, served: map[string][]byte{}}
	files, err := fs.ReadDir(assetFiles, "assets")
	if err != nil {
		return a, err
	}
	for _, f := range files {
		b, err := assetFiles.ReadFile("assets/" + f.Name())
		if err != nil {
			return a, err
		}
		sum := sha256.Sum256(b)
		ext := path.Ext(f.Name())
		name := strings.TrimSuffix(f.Name(), ext) + "-" + hex.EncodeToString(sum[:8]) + ext
		a.named[f.Name()], a.served[name] = name, b
	}
	return a, nil
}

// path is where an asset is found.
func (a *assets) path(name string) string { return "/console/assets/" + a.named[name] }

func (c *Console) asset(w http.ResponseWriter, req *http.Request) {
	b, ok := c.assets.served[req.PathValue("name")]
	if !ok {
		c.refuse(w, req, http.StatusNotFound, "There is no such file.")
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(req.PathValue("name"))))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	if _, err := w.Write(b); err != nil {
		c.o.Logger.Debug("console_answer_cut", "error", err)
	}
}
