// Package board is the board in Go: see ../README.md for what is said between processes.
package board

import (
	"encoding/json"
	"fmt"
	"hatchery"
	"os"
	"strconv"
	"time"
	"unicode/utf8"
)

const (
	maxText = 1000 // bytes
	timeout = 5 * time.Second
)

var notes Notes

func init() {
	hatchery.Serve(hatchery.Guest{Handle: handle, Start: start, OnMessage: onMessage, OnRequest: onRequest, RunTask: runTask})
}

func start() error {
	if hatchery.Self().Role == hatchery.Worker {
		data, err := hatchery.AskAgent("list", nil, timeout)
		if err != nil {
			return err
		}
		return merge(data)
	}
	// No worker is there yet, unless this agent is a replacement.
	answers, _ := hatchery.AskApp("list", nil, timeout)
	for _, answer := range answers {
		if answer.Err == nil {
			if err := merge(answer.Data); err != nil {
				return err
			}
		}
	}
	return nil
}

func merge(data []byte) error {
	var list List
	err := json.Unmarshal(data, &list)
	notes.Merge(list)
	return err
}

func handle(request *hatchery.Request) (*hatchery.Response, error) {
	switch request.Method + " " + request.Path() {
	case "GET /":
		return hatchery.JSON(200, notes.List().Notes)
	case "POST /":
		return post(request.Body)
	case "GET /where":
		return hatchery.JSON(200, map[string]any{"slot": hatchery.Self().Slot, "language": "go"})
	case "GET /fail":
		panic("asked to fail")
	}
	return hatchery.Text(404, "not found\n"), nil
}

func post(text []byte) (*hatchery.Response, error) {
	if len(text) > maxText {
		return hatchery.Text(413, "a note has at most %d bytes\n", maxText), nil
	}
	if len(text) == 0 || !utf8.Valid(text) {
		return hatchery.Text(400, "a note is text\n"), nil
	}
	data, err := hatchery.AskAgent("add", text, timeout)
	if err != nil {
		return nil, err
	}
	var note Note
	if err := json.Unmarshal(data, &note); err != nil {
		return nil, err
	}
	notes.Add(note)
	return hatchery.JSON(201, note)
}

func onMessage(message hatchery.Message) {
	var err error
	switch message.Action {
	case "added":
		var note Note
		if err = json.Unmarshal(message.Data, &note); err == nil {
			notes.Add(note)
		}
	case "drop":
		var id uint64
		if err = json.Unmarshal(message.Data, &id); err == nil {
			notes.DropTo(id)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "message `%s` of process %d: %v\n", message.Action, message.Sender.Pid, err)
	}
}

func onRequest(request hatchery.Message) ([]byte, error) {
	switch request.Action {
	case "list":
		return json.Marshal(notes.List())
	case "add":
		return add(string(request.Data))
	}
	return nil, fmt.Errorf("no answer to `%s`", request.Action)
}

func add(text string) ([]byte, error) {
	data, err := json.Marshal(notes.New(text, time.Now().UnixMilli()))
	if err == nil {
		err = hatchery.Broadcast("added", data)
	}
	if err == nil {
		err = drop(notes.Surplus())
	}
	return data, err
}

func drop(id uint64) error {
	if id == 0 {
		return nil
	}
	return hatchery.Broadcast("drop", []byte(strconv.FormatUint(id, 10)))
}

func runTask(name string, _ []byte) error {
	if name != "expire" {
		return fmt.Errorf("no task `%s`", name)
	}
	keep, err := strconv.ParseInt(os.Getenv("BOARD_KEEP"), 10, 64)
	if err != nil {
		keep = 600
	}
	return drop(notes.Older(time.Now().UnixMilli() - keep*1000))
}
