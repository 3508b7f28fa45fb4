package export_hatchery_cluster_responder

import (
	"hatchery"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/glue"
	types "wit_component/hatchery_cluster_types"
)

func OnRequest(raw types.Message) witTypes.Result[[]uint8, string] {
	answer, err := hatchery.Calls.OnRequest(glue.Message(raw))
	if err != nil {
		return witTypes.Err[[]uint8](err.Error())
	}
	return witTypes.Ok[[]uint8, string](answer)
}
