// Package glue joins package hatchery to the host: what it calls is imported here, and what the exports need of
// both is made of each other here. component.sh copies it into the generated module.
package glue

import (
	"errors"
	"fmt"
	"hatchery"
	"time"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	cluster "wit_component/hatchery_cluster_cluster"
	messenger "wit_component/hatchery_cluster_messenger"
	requests "wit_component/hatchery_cluster_requests"
	types "wit_component/hatchery_cluster_types"
)

func init() {
	host := &hatchery.Host
	host.Broadcast = func(action string, data []byte) error { return sent(messenger.Broadcast(action, data)) }
	host.SendToApp = func(action string, data []byte) error { return sent(messenger.SendToApp(action, data)) }
	host.SendToAgent = func(action string, data []byte) error { return sent(messenger.SendToAgent(action, data)) }
	host.SendRandom = func(action string, data []byte) error { return sent(messenger.SendRandom(action, data)) }
	host.SendTo = func(pid uint64, action string, data []byte) error {
		return sent(messenger.SendTo(pid, action, data))
	}
	host.AskAgent = func(action string, data []byte, timeout time.Duration) ([]byte, error) {
		return answered(requests.AskAgent(action, data, uint64(timeout)))
	}
	host.Ask = func(pid uint64, action string, data []byte, timeout time.Duration) ([]byte, error) {
		return answered(requests.Ask(pid, action, data, uint64(timeout)))
	}
	host.AskApp = askApp
	host.Self = func() hatchery.Process { return process(cluster.Self()) }
	host.Processes = func() []hatchery.Process { return Processes(cluster.Processes()) }
}

func askApp(action string, data []byte, timeout time.Duration) ([]hatchery.Answer, error) {
	result := requests.AskApp(action, data, uint64(timeout))
	if result.IsErr() {
		return nil, asked(result.Err())
	}
	var answers []hatchery.Answer
	for _, one := range result.Ok() {
		data, err := answered(one.Result)
		answers = append(answers, hatchery.Answer{Pid: one.Pid, Data: data, Err: err})
	}
	return answers, nil
}

func answered(result witTypes.Result[[]uint8, requests.AskError]) ([]byte, error) {
	if result.IsErr() {
		return nil, asked(result.Err())
	}
	return result.Ok(), nil
}

func asked(err requests.AskError) error {
	switch err.Tag() {
	case requests.AskErrorTimeout:
		return errors.New("no answer in time")
	case requests.AskErrorNoSuchProcess:
		return errors.New("no such process")
	case requests.AskErrorNoResponder:
		return errors.New("the process has no responder")
	case requests.AskErrorFailed:
		return errors.New(err.Failed())
	case requests.AskErrorOverloaded:
		return errors.New("too many open questions")
	case requests.AskErrorInvalidAction:
		return fmt.Errorf("invalid action: %s", err.InvalidAction())
	default:
		return fmt.Errorf("question larger than message-size, %d bytes", err.TooLarge())
	}
}

func sent(result witTypes.Result[witTypes.Unit, messenger.Error]) error {
	if result.IsOk() {
		return nil
	}
	switch err := result.Err(); err.Tag() {
	case messenger.ErrorInvalidAction:
		return fmt.Errorf("invalid action: %s", err.InvalidAction())
	case messenger.ErrorTooLarge:
		return fmt.Errorf("message larger than message-size, %d bytes", err.TooLarge())
	case messenger.ErrorOverloaded:
		return errors.New("too many messages queued in this process")
	case messenger.ErrorNoSuchProcess:
		return errors.New("no such process")
	default:
		return errors.New("this process is stopping")
	}
}

func role(raw types.Role) hatchery.Role {
	if raw == types.RoleAgent {
		return hatchery.Agent
	}
	return hatchery.Worker
}

func process(raw types.Process) hatchery.Process {
	states := map[types.State]string{types.StateStarting: "starting", types.StateReady: "ready", types.StateDraining: "draining"}
	return hatchery.Process{
		Pid: raw.Pid, Role: role(raw.Role), Slot: raw.Slot, Generation: raw.Generation, State: states[raw.State],
	}
}

// Processes is for the exports.
func Processes(raw []types.Process) (all []hatchery.Process) {
	for _, one := range raw {
		all = append(all, process(one))
	}
	return all
}

// Message is for the exports.
func Message(raw types.Message) hatchery.Message {
	sender := hatchery.Sender{Pid: raw.Sender.Pid, Role: role(raw.Sender.Role), Slot: raw.Sender.Slot}
	return hatchery.Message{Action: raw.Action, Data: raw.Data, Sender: sender}
}

// Done is for the exports.
func Done(err error) witTypes.Result[witTypes.Unit, string] {
	if err != nil {
		return witTypes.Err[witTypes.Unit](err.Error())
	}
	return witTypes.Ok[witTypes.Unit, string](witTypes.Unit{})
}
