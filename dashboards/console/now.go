package console

import "errors"

// nowView is how the gateway is at this moment.
type nowView struct {
	Numbers []number
}

// number is one that is shown in large.
type number struct {
	Name, Value, Unit, Note string
}

// now shows what goes in and out, what waits, and what needs a person.
func now(v *visit) (answer, error) {
	at := v.c.ring.latest()
	if at == nil {
		return answer{}, errors.New("the metrics cannot be read")
	}
	view := nowView{Numbers: []number{
		{"Pending", count(at.sums["pending"]), "deliveries", ""},
		{"Backlog", count(at.sums["backlog"]), "records", ""},
		{"Storage", size(at.sums["file"] - at.sums["free"]), "", ""},
	}}
	return show("now", "Now", view)
}
