package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/web"
)

// ErrorRenderers maps path prefixes to the shape of the errors below them.
var ErrorRenderers = map[string]web.ErrorRenderer{"/oauth/": renderOAuth}

// renderOAuth writes an error as RFC 6749, section 5.2, defines it. The status of an invalid request is 400 instead of 422.
// Errors for an unknown path or a wrong method have FastAPI's shape.
func renderOAuth(c echo.Context, a web.ErrorAnswer) error {
	if a.Status == http.StatusNotFound || a.Status == http.StatusMethodNotAllowed {
		return web.RenderFastAPI(c, a)
	}
	switch {
	case len(a.Issues) > 0:
		field := strings.Trim(fmt.Sprint(a.Issues[0].Loc[1:]), "[]")
		a.Status, a.Code = http.StatusBadRequest, "invalid_request"
		a.Text = strings.TrimPrefix(field+": "+a.Issues[0].Msg, ": ")
	case a.Status == http.StatusRequestEntityTooLarge:
		a.Code = "invalid_request"
	case a.Status == http.StatusUnauthorized:
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Basic realm="countersign", charset="UTF-8"`)
	case a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable:
		a.Code = "temporarily_unavailable"
	case a.Status == http.StatusInternalServerError:
		a.Code = "server_error"
	}
	c.Response().Header().Set(web.ErrorCodeHeader, a.Code)
	return c.JSON(a.Status, map[string]any{"error": a.Code, "error_description": a.Text})
}
