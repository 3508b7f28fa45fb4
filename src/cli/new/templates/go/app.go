// Package app answers with how often it was called. The instance lives as long as its process: what a variable
// holds stays from request to request.
package app

// {{#agent}}
import (
	"hatchery"
	"strconv"
	"time"
)
// {{/agent}}
// {{^agent}}
import "hatchery"
// {{/agent}}

var calls int

func init() {
// {{#agent}}
	hatchery.Serve(hatchery.Guest{Handle: handle, OnRequest: count})
}

func handle(*hatchery.Request) (*hatchery.Response, error) {
	// The agent counts for all workers.
	total, err := hatchery.AskAgent("call", nil, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return hatchery.Text(200, "hello, call %s\n", total), nil
}

// Only the agent is asked.
func count(hatchery.Message) ([]byte, error) {
	calls++
	return []byte(strconv.Itoa(calls)), nil
// {{/agent}}
// {{^agent}}
	hatchery.Handle(func(*hatchery.Request) (*hatchery.Response, error) {
		calls++
		return hatchery.Text(200, "hello, call %d\n", calls), nil
	})
// {{/agent}}
}
