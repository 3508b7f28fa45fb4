package export_hatchery_cluster_lifecycle

import (
	"hatchery"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/glue"
	types "wit_component/hatchery_cluster_types"
)

func Start() witTypes.Result[witTypes.Unit, string] { return glue.Done(hatchery.Calls.Start()) }
func ClusterReady()                                 { hatchery.Calls.ClusterReady() }
func ProcessesChanged(raw []types.Process)          { hatchery.Calls.ProcessesChanged(glue.Processes(raw)) }
func Stop()                                         { hatchery.Calls.Stop() }
