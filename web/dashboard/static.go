package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

//go:embed static
var staticFiles embed.FS

// file is one that pages load, with the hash of what is in it.
type file struct {
	data       []byte
	hash, kind string
}

func readFiles() (map[string]file, error) {
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		return nil, err
	}
	files := map[string]file{}
	for _, e := range entries {
		data, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, err
		}
		kind := mime.TypeByExtension(path.Ext(e.Name()))
		if path.Ext(e.Name()) == ".js" || kind == "" {
			kind = "text/javascript; charset=utf-8"
		}
		sum := sha256.Sum256(data)
		files[e.Name()] = file{data, hex.EncodeToString(sum[:8]), kind}
	}
	return files, nil
}

// asset is the URL of a file. It changes with what is in it, so that a browser may keep it for good.
func (d *Dashboard) asset(name string) (string, error) {
	f, ok := d.files[name]
	if !ok {
		return "", fmt.Errorf("there is no file %s", name)
	}
	return "/static/" + name + "?" + f.hash, nil
}

// Static is GET /static/:file.
func (d *Dashboard) Static(c echo.Context) error {
	f, ok := d.files[c.Param("file")]
	if !ok || strings.HasSuffix(c.Param("file"), ".LICENSE") {
		return echo.ErrNotFound
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, f.kind)
	h.Set("ETag", `"`+f.hash+`"`)
	h.Set("Cache-Control", "no-cache")
	if c.Request().URL.RawQuery == f.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, bytes.NewReader(f.data))
	return nil
}
