package export_hatchery_cluster_receiver

import (
	"hatchery"

	"wit_component/glue"
	types "wit_component/hatchery_cluster_types"
)

func OnMessage(raw types.Message) { hatchery.Calls.OnMessage(glue.Message(raw)) }
