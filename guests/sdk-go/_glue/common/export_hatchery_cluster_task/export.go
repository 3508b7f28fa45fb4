package export_hatchery_cluster_task

import (
	"hatchery"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/glue"
)

func Run(name string, payload witTypes.Option[[]uint8]) witTypes.Result[witTypes.Unit, string] {
	return glue.Done(hatchery.Calls.RunTask(name, payload.SomeOr(nil)))
}
