package hatchery

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

// Calls are the guest's functions as the glue calls them: missing ones have an answer, and a panic is printed
// with its stack and becomes an error.
var Calls calls

type calls struct{}

// Handle answers in any case.
func (calls) Handle(request *Request) (response *Response) {
	err := guarded(func() (err error) {
		if served.Handle == nil {
			response = Text(404, "not found\n")
			return nil
		}
		response, err = served.Handle(request)
		if err == nil && response == nil {
			err = fmt.Errorf("the guest gave no response")
		}
		return err
	})
	if err != nil {
		return Text(500, "the guest failed on this request; its log says why\n")
	}
	if response.Status == 0 {
		response.Status = 200
	}
	return response
}

func (calls) Start() error {
	if served.Start == nil {
		return nil
	}
	return guarded(served.Start)
}

func (calls) ClusterReady() {
	if served.ClusterReady != nil {
		_ = guarded(func() error { served.ClusterReady(); return nil })
	}
}

func (calls) ProcessesChanged(processes []Process) {
	if served.ProcessesChanged != nil {
		_ = guarded(func() error { served.ProcessesChanged(processes); return nil })
	}
}

func (calls) Stop() {
	if served.Stop != nil {
		_ = guarded(func() error { served.Stop(); return nil })
	}
}

func (calls) OnMessage(message Message) {
	if served.OnMessage != nil {
		_ = guarded(func() error { served.OnMessage(message); return nil })
	}
}

func (calls) OnRequest(message Message) (answer []byte, err error) {
	if served.OnRequest == nil {
		return nil, fmt.Errorf("no answer to `%s`", message.Action)
	}
	err = guarded(func() (err error) { answer, err = served.OnRequest(message); return err })
	return answer, err
}

func (calls) RunTask(name string, payload []byte) error {
	if served.RunTask == nil {
		return fmt.Errorf("no task `%s`", name)
	}
	return guarded(func() error { return served.RunTask(name, payload) })
}

func guarded(call func() error) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
			fmt.Fprintf(os.Stderr, "%v\n%s", err, debug.Stack())
		} else if err != nil {
			fmt.Fprintf(os.Stderr, "failed: %v\n", err)
		}
		// An export of WASI 0.2 returns without a look at other goroutines. That of the runtime which cleans
		// up after handles would never run, and what waits for it would fill the memory.
		runtime.Gosched()
	}()
	return call()
}
