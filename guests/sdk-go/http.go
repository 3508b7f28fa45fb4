package hatchery

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Field is one header.
type Field struct {
	Name  string
	Value []byte
}

// Request is a request with its whole body; the host's limit of the body size is the bound.
type Request struct {
	Method string
	// Target is path and query as they came.
	Target string
	Header []Field
	Body   []byte
}

// Path is the target without the query.
func (r *Request) Path() string {
	path, _, _ := strings.Cut(r.Target, "?")
	return path
}

// Get is the first header with this name, or empty.
func (r *Request) Get(name string) string {
	for _, field := range r.Header {
		if strings.EqualFold(field.Name, name) {
			return string(field.Value)
		}
	}
	return ""
}

// Response is what Handle returns. A Status of 0 is 200.
type Response struct {
	Status int
	Header []Field
	Body   []byte
}

// Text is a response of plain text, with arguments as in fmt.Sprintf.
func Text(status int, format string, arguments ...any) *Response {
	body := fmt.Appendf(nil, format, arguments...)
	return &Response{status, []Field{{"content-type", []byte("text/plain; charset=utf-8")}}, body}
}

// JSON is a response of a value. What can't be written as JSON is an error.
func JSON(status int, value any) (*Response, error) {
	body, err := json.Marshal(value)
	return &Response{status, []Field{{"content-type", []byte("application/json")}}, body}, err
}
