// Package hatchery is for guests of Hatchery in Go, on WASI 0.2 and 0.3 with the same source. See README.md.
//
// Nothing of WebAssembly is in here: _glue joins it to the host, and _glue is joined to it by component.sh.
package hatchery

import "time"

// Guest is what a component does. Everything in it may be missing.
type Guest struct {
	// Handle answers a request; an error or a panic is a 500, and in the log.
	Handle func(*Request) (*Response, error)
	// Start is called once per instance, before anything else. An error means that the process can't start.
	Start func() error
	// ClusterReady is called once per process, when the whole app is ready.
	ClusterReady func()
	// ProcessesChanged is called whenever a process becomes ready or goes away.
	ProcessesChanged func([]Process)
	// Stop is called before the process ends in order.
	Stop func()
	// OnMessage is called for each message, in order.
	OnMessage func(Message)
	// OnRequest answers a question.
	OnRequest func(Message) ([]byte, error)
	// RunTask is called when a schedule of the manifest comes due.
	RunTask func(name string, payload []byte) error
}

// Serve says what the component does. Call it in an init function of the guest's package, or in a variable's.
func Serve(guest Guest) { served = guest }

// Handle is Serve for a guest that only answers requests.
func Handle(handle func(*Request) (*Response, error)) { served.Handle = handle }

var served Guest

// Role is what a process is for.
type Role string

// The roles: one agent and some workers per app.
const (
	Agent  Role = "agent"
	Worker Role = "worker"
)

// Process is one process of the app.
type Process struct {
	// Pid is the cluster's id, never reused while the cluster lives. Not the system's pid.
	Pid  uint64
	Role Role
	// Slot is a worker's place, 0..N-1, which outlives the processes that fill it. 0 for the agent.
	Slot uint32
	// Generation is the deployed version of the app, counted from 1.
	Generation uint64
	// State is starting, ready or draining.
	State string
}

// Sender is who sent a message, as the master stamped it.
type Sender struct {
	Pid  uint64
	Role Role
	Slot uint32
}

// Message is what OnMessage and OnRequest are given. Check the data: the sender may be another version.
type Message struct {
	Action string
	Data   []byte
	Sender Sender
}

// Answer is what one worker answered to AskApp.
type Answer struct {
	Pid  uint64
	Data []byte
	Err  error
}

// Broadcast sends to every worker and the agent, this process included. Like all sends it does not wait: the
// message is queued or refused.
func Broadcast(action string, data []byte) error { return Host.Broadcast(action, data) }

// SendToApp sends to every worker, to this process too where it is one.
func SendToApp(action string, data []byte) error { return Host.SendToApp(action, data) }

// SendToAgent sends to the agent, from itself too.
func SendToAgent(action string, data []byte) error { return Host.SendToAgent(action, data) }

// SendRandom sends to one ready worker that the master chooses.
func SendRandom(action string, data []byte) error { return Host.SendRandom(action, data) }

// SendTo sends to that process, which may be this one.
func SendTo(pid uint64, action string, data []byte) error { return Host.SendTo(pid, action, data) }

// AskAgent asks the agent and waits for the answer. A timeout is cut to the app's request-timeout; 0 means that.
func AskAgent(action string, data []byte, timeout time.Duration) ([]byte, error) {
	return Host.AskAgent(action, data, timeout)
}

// Ask asks that process.
func Ask(pid uint64, action string, data []byte, timeout time.Duration) ([]byte, error) {
	return Host.Ask(pid, action, data, timeout)
}

// AskApp asks every worker that is ready, this process too where it is one: one answer each.
func AskApp(action string, data []byte, timeout time.Duration) ([]Answer, error) {
	return Host.AskApp(action, data, timeout)
}

// Self is this process.
func Self() Process { return Host.Self() }

// Processes are all of this app, the agent first, then the workers by slot.
func Processes() []Process { return Host.Processes() }

// Host is what the functions above call. The glue sets it; a test may, too.
var Host struct {
	Broadcast, SendToApp, SendToAgent, SendRandom func(string, []byte) error
	SendTo                                        func(uint64, string, []byte) error
	AskAgent                                      func(string, []byte, time.Duration) ([]byte, error)
	Ask                                           func(uint64, string, []byte, time.Duration) ([]byte, error)
	AskApp                                        func(string, []byte, time.Duration) ([]Answer, error)
	Self                                          func() Process
	Processes                                     func() []Process
}
