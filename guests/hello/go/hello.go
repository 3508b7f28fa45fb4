package hello

import "hatchery"

func init() {
	calls := 0
	hatchery.Handle(func(*hatchery.Request) (*hatchery.Response, error) {
		calls++
		return hatchery.Text(200, "hello, call %d\n", calls), nil
	})
}
