package web

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
)

const maxParam = 256

// plainPath gives handlers the parameters of a path as they are meant. Echo matches the path as it was
// sent, wherever that is not the usual way to write it, and passes on pieces of the same: %41 for A here,
// and A there. What no id or name of ours can be is no such thing: an encoded slash or backslash, a dot
// segment, a control character. A route that ends with a wildcard judges the rest of its path itself.
func plainPath(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		names := c.ParamNames()
		if len(names) == 0 {
			return next(c)
		}
		encoded := c.Request().URL.RawPath != ""
		values := slices.Clone(c.ParamValues())
		for i, name := range names {
			if name == "*" {
				continue
			}
			if encoded {
				plain, err := url.PathUnescape(values[i])
				if err != nil {
					return echo.ErrNotFound
				}
				values[i] = plain
			}
			if !isParam(values[i]) {
				return echo.ErrNotFound
			}
		}
		c.SetParamValues(values...)
		return next(c)
	}
}

func isParam(s string) bool {
	return s != "" && len(s) <= maxParam && s != "." && s != ".." && utf8.ValidString(s) && !strings.ContainsAny(s, `/\`) &&
		!strings.ContainsFunc(s, unicode.IsControl)
}
