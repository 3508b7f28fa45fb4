module hatchery

go 1.25
