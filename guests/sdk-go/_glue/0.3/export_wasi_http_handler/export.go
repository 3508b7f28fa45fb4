// HTTP on WASI 0.3: each call is a goroutine.
package export_wasi_http_handler

import (
	"hatchery"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	. "wit_component/wasi_http_types"
)

const maxRead = 65536

var methods = [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

func Handle(incoming *Request) witTypes.Result[*Response, ErrorCode] {
	response := hatchery.Calls.Handle(request(incoming))
	var fields []witTypes.Tuple2[string, []byte]
	for _, field := range response.Header {
		fields = append(fields, witTypes.Tuple2[string, []byte]{F0: field.Name, F1: field.Value})
	}
	headers := FieldsFromList(fields)
	if headers.IsErr() {
		headers = FieldsFromList(nil)
	}
	end, trailersReader := MakeFutureResultOptionFieldsErrorCode()
	body := witTypes.None[*witTypes.StreamReader[uint8]]()
	write := func() {}
	// A write of nothing would wait for a reader that may not come.
	if len(response.Body) > 0 {
		writer, reader := MakeStreamU8()
		body = witTypes.Some(reader)
		write = func() {
			writer.WriteAll(response.Body)
			writer.Drop()
		}
	}
	outgoing, sent := ResponseNew(headers.Ok(), body, trailersReader)
	sent.Drop()
	outgoing.SetStatusCode(uint16(response.Status))
	// The body is read once the response is there. Left unwritten, the trailers would keep handles of the host.
	go func() {
		write()
		end.Write(witTypes.Ok[witTypes.Option[*Fields], ErrorCode](witTypes.None[*Fields]()))
	}()
	return witTypes.Ok[*Response, ErrorCode](outgoing)
}

func request(incoming *Request) *hatchery.Request {
	request := &hatchery.Request{Target: incoming.GetPathWithQuery().SomeOr("/")}
	if method := incoming.GetMethod(); method.Tag() == MethodOther {
		request.Method = method.Other()
	} else {
		request.Method = methods[method.Tag()]
	}
	headers := incoming.GetHeaders()
	for _, field := range headers.CopyAll() {
		request.Header = append(request.Header, hatchery.Field{Name: field.F0, Value: field.F1})
	}
	headers.Drop()
	done, doneReader := MakeFutureResultUnitErrorCode()
	body, after := RequestConsumeBody(incoming, doneReader)
	after.Drop()
	buffer := make([]byte, maxRead)
	for !body.WriterDropped() {
		read := body.Read(buffer)
		request.Body = append(request.Body, buffer[:read]...)
	}
	body.Drop()
	go done.Write(witTypes.Ok[witTypes.Unit, ErrorCode](witTypes.Unit{}))
	return request
}
