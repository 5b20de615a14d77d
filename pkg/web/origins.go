package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// allowOrigins lets pages of these origins, and of no others, read the answers (CORS). Such pages send no cookies, so
// credentials are not allowed. It runs before refuseOptions, which would refuse a preflight request.
func allowOrigins(origins []string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		if len(origins) == 0 {
			return next
		}
		return func(c echo.Context) error {
			request, header := c.Request(), c.Response().Header()
			header.Add(echo.HeaderVary, echo.HeaderOrigin)
			origin := request.Header.Get(echo.HeaderOrigin)
			if !slices.Contains(origins, origin) {
				return next(c)
			}
			header.Set(echo.HeaderAccessControlAllowOrigin, origin)
			header.Set(echo.HeaderAccessControlExposeHeaders, "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Error-Code, X-Request-Id")
			methods, exists := c.Get(echo.ContextKeyHeaderAllow).(string)
			if !exists || request.Method != http.MethodOptions || request.Header.Get(echo.HeaderAccessControlRequestMethod) == "" {
				return next(c)
			}
			header.Set(echo.HeaderAccessControlAllowMethods, strings.TrimPrefix(methods, "OPTIONS, "))
			header.Set(echo.HeaderAccessControlAllowHeaders, "Authorization, Content-Type")
			header.Set(echo.HeaderAccessControlMaxAge, "600")
			return c.NoContent(http.StatusNoContent)
		}
	}
}
