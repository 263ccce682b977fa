package web

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

var (
	//go:embed openapi.yaml
	openAPI []byte
	//go:embed asyncapi.yaml
	asyncAPI []byte
)

// Descriptions are openapi.yaml and asyncapi.yaml. They must not be changed.
func Descriptions() (http, messages []byte) { return openAPI, asyncAPI }

func serveOpenAPI(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", openAPI)
}

func serveAsyncAPI(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", asyncAPI)
}
