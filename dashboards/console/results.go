package console

import (
	"strconv"
	"strings"

	"countersign/relay/control/api"
)

// ownReasons say why a delivery ended, or was not sent, where no answer is the reason.
var ownReasons = map[string]string{
	"overflow":      "the endpoint had as many pending deliveries as it may have (max_owed)",
	"overtaken":     "a later change of the person was delivered",
	"removed":       "the endpoint was removed",
	"damaged":       "the record is damaged",
	"given_up":      "an operator gave up what was pending for the endpoint",
	"skipped":       "an operator skipped it",
	"cancelled":     "an operator cancelled it",
	"unsignable":    "it could not be signed, and the endpoint's format has no word for it",
	"rendered_anew": "it could not be signed as it was made, and was made again",
	"timeout":       "no response: timed out",
	"canceled":      "no response: the gateway stopped",
}

// resultOf says what came of an attempt: an HTTP status, or why there was no response.
func resultOf(reason string, code int, detail string) string {
	switch own := ownReasons[reason]; {
	case code > 0:
		return "HTTP " + strconv.Itoa(code)
	case detail != "":
		for _, first := range []string{reason + ": ", "connect: ", "dial: "} {
			detail = strings.TrimPrefix(detail, first)
		}
		return "no response: " + detail
	case own != "":
		return own
	case reason == "" || reason == "http_2xx":
		return ""
	default:
		return "no response: " + word(reason)
	}
}

// after says that something was the last straw, beside the result.
func after(reason string) string {
	switch reason {
	case "exhausted":
		return "the last attempt of its schedule"
	case "refused":
		return "refused for an hour, while the endpoint accepted others"
	}
	return ""
}

// waitsOf says what a delivery waits for; "": for nothing.
func waitsOf(d *api.Delivery) string {
	switch d.WaitsFor {
	case "try":
		return "It waits for its next attempt."
	case "turn":
		return "It is due now, and is sent in its turn."
	case "answer":
		return "It is being sent now."
	case "behind":
		return "It waits for another delivery of the same person, which goes first."
	}
	return endpointWaits(d.WaitsFor)
}

// endpointWaits says what an endpoint waits for.
func endpointWaits(why string) string {
	switch why {
	case "":
		return ""
	case "breaker":
		return "Its endpoint does not answer. The gateway probes it, and sends the rest when a probe is accepted."
	case "rest":
		return "Its endpoint asked for a pause (Retry-After)."
	case "paused":
		return "Its endpoint is paused, until somebody resumes it."
	case "disabled":
		return "Its endpoint is disabled, until somebody re-enables it."
	case "orphaned":
		return "Its endpoint is not in the config. It waits until the endpoint is there again."
	}
	return "It waits: " + word(why) + "."
}
