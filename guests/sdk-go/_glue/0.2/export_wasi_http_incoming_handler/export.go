// HTTP on WASI 0.2, where nothing waits but the instance as a whole.
package export_wasi_http_incoming_handler

import (
	"hatchery"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	. "wit_component/wasi_http_types"
)

const (
	maxRead  = 65536
	maxWrite = 4096 // what wasi:io takes in one blocking write
)

var methods = [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

func Handle(incoming *IncomingRequest, out *ResponseOutparam) {
	response := hatchery.Calls.Handle(request(incoming))
	incoming.Drop()
	var fields []witTypes.Tuple2[string, []byte]
	for _, field := range response.Header {
		fields = append(fields, witTypes.Tuple2[string, []byte]{F0: field.Name, F1: field.Value})
	}
	headers := FieldsFromList(fields)
	if headers.IsErr() {
		headers = FieldsFromList(nil)
	}
	outgoing := MakeOutgoingResponse(headers.Ok())
	outgoing.SetStatusCode(uint16(response.Status))
	body := outgoing.Body().Ok()
	ResponseOutparamSet(out, witTypes.Ok[*OutgoingResponse, ErrorCode](outgoing))
	stream := body.Write().Ok()
	for data := response.Body; len(data) > 0; {
		size := min(len(data), maxWrite)
		if stream.BlockingWriteAndFlush(data[:size]).IsErr() {
			break // the client is gone
		}
		data = data[size:]
	}
	stream.Drop()
	OutgoingBodyFinish(body, witTypes.None[*Fields]())
}

func request(incoming *IncomingRequest) *hatchery.Request {
	request := &hatchery.Request{Target: incoming.PathWithQuery().SomeOr("/")}
	if method := incoming.Method(); method.Tag() == MethodOther {
		request.Method = method.Other()
	} else {
		request.Method = methods[method.Tag()]
	}
	headers := incoming.Headers()
	for _, field := range headers.Entries() {
		request.Header = append(request.Header, hatchery.Field{Name: field.F0, Value: field.F1})
	}
	headers.Drop()
	body := incoming.Consume().Ok()
	stream := body.Stream().Ok()
	for {
		chunk := stream.BlockingRead(maxRead)
		if chunk.IsErr() {
			break
		}
		request.Body = append(request.Body, chunk.Ok()...)
	}
	stream.Drop()
	body.Drop()
	return request
}
