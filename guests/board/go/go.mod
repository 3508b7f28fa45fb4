module board

go 1.25

require hatchery v0.0.0

replace hatchery => ../../sdk-go
