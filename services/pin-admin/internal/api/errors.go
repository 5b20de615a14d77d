package api

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/web"
)

// ErrorRenderers maps path prefixes to the shape of the errors below them.
var ErrorRenderers = map[string]web.ErrorRenderer{"/user/": renderJSONAPI}

const jsonAPIType = "application/vnd.api+json"

// renderJSONAPI writes an error in the shape of JSON:API. The status of an invalid request is 400 instead of 422.
func renderJSONAPI(c echo.Context, a web.ErrorAnswer) error {
	if len(a.Issues) > 0 {
		a.Status = http.StatusBadRequest
	}
	c.Response().Header().Set(echo.HeaderContentType, jsonAPIType)
	return c.JSON(a.Status, jsonAPIErrors(web.RequestID(c), a))
}

// jsonAPIErrors returns a document with one error object (jsonapi.org/format/1.0/#error-objects) for each issue. For an error
// without issues, the document has one error object.
func jsonAPIErrors(requestID string, a web.ErrorAnswer) map[string]any {
	object := func(detail string) map[string]any {
		return map[string]any{"id": requestID, "title": a.Text, "detail": detail, "status": strconv.Itoa(a.Status), "code": a.Code}
	}
	if len(a.Issues) == 0 {
		return map[string]any{"errors": []any{object(a.Text)}}
	}
	var objects []any
	for _, issue := range a.Issues {
		o := object(issue.Msg)
		switch {
		case len(issue.Loc) == 2 && issue.Loc[0] == "query":
			o["source"] = map[string]any{"parameter": issue.Loc[1]}
		case len(issue.Loc) == 2 && issue.Loc[0] == "body":
			o["source"] = map[string]any{"pointer": fmt.Sprint("/", issue.Loc[1])}
		}
		objects = append(objects, o)
	}
	return map[string]any{"errors": objects}
}
