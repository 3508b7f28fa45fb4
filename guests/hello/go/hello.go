package hello

import ("fmt"; "hatchery")

var calls int

func init() {
	hatchery.Serve(hatchery.Guest{Handle: func(*hatchery.Request) (*hatchery.Response, error) {
		calls++
		return hatchery.Text(200, fmt.Sprintf("hello, call %d\n", calls)), nil
	}})
}
