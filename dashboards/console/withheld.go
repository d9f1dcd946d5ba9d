package console

import (
	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// withheldView is a page of the rejections and suspensions that an endpoint has not been told of.
type withheldView struct {
	Rows         []withheldRow
	Acknowledged bool // those that somebody has acknowledged
	More         string
}

// withheldRow is one of them.
type withheldRow struct {
	api.Withheld
	To, Why, Deed string // its page, why it is dead-lettered, and the page that acknowledges it
}

// withheld lists them. What an operator does about one is the delivery's page, or to acknowledge it.
func withheld(v *visit) (answer, error) {
	view := withheldView{Acknowledged: v.URL.Query().Get("acknowledged") == "true"}
	list, err := v.api.ListWithheld(v.Context(), client.Page{Cursor: v.URL.Query().Get("cursor"), Limit: rowsOfPage}, "", view.Acknowledged)
	if err != nil {
		return answer{}, err
	}
	for i := range list.Data {
		w := &list.Data[i]
		row := withheldRow{Withheld: *w, To: to("/console/delivery", "id", w.ID)}
		if row.Why = ownReasons[w.Dead]; row.Why == "" {
			row.Why = word(w.Dead)
		}
		if w.Acknowledged == nil && v.can(api.Operator) {
			row.Deed = to("/console/delivery/acknowledge", "id", w.ID)
		}
		view.Rows = append(view.Rows, row)
	}
	if list.HasMore {
		acknowledged := ""
		if view.Acknowledged {
			acknowledged = "true"
		}
		view.More = to("/console/deliveries", "withheld", "true", "acknowledged", acknowledged, "cursor", list.Next)
	}
	return show("withheld", "Withheld rejections", view)
}

func acknowledgeOf(v *visit) (step, error) {
	s, _, err := stepOn(v, "Acknowledge the rejection")
	s.Button = "Acknowledge"
	s.Effect = []string{
		"You say that nobody need be alarmed about it any more, for example because the partner was told in another way. The alert ends.",
		"Nobody is told anything by this. A pending delivery stays pending.",
	}
	s.Fields = []field{{Name: "reason", Label: "Reason", Help: "For whoever must explain it later.", Value: v.PostFormValue("reason"), Need: true, Max: 500}}
	return s, err
}

func acknowledge(v *visit) (answer, error) {
	a, err := v.api.Acknowledge(v.Context(), v.FormValue("id"), v.PostFormValue("reason"))
	if err != nil {
		return answer{}, err
	}
	return v.done("It is acknowledged.", to("/console/delivery", "id", a.ID))
}
