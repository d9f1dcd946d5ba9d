package provider

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"time"

	"countersign/kyc"
)

// smileAsked is what Smile ID's API is asked for. The ref is our user and our job.
const smileAsked = "job"

var smileAPI = API{ //nolint:gosec // where credentials go, and none of them
	Doc:         "https://docs.usesmileid.com",
	Live:        "https://api.smileidentity.com/v1",
	Sandbox:     "https://testapi.smileidentity.com/v1",
	Credentials: "user: the partner id; key: the API key of the environment",
	Authorize:   smileAuthorize,
	Next: func(q Fetch, answers [][]byte, _ Options) (Call, bool, error) {
		user, job := unpair(q.Ref)
		if user == "" || job == "" {
			return Call{}, false, unreadable("ref", "names no user and job")
		}
		body, err := json.Marshal(map[string]any{"user_id": user, "job_id": job, "history": false, "image_links": false})
		return Call{Method: http.MethodPost, Path: "/job_status", Body: body}, len(answers) == 0 && err == nil, err
	},
	Read: smileRead,
}

// smileAuthorize signs the question as Smile ID signs its callbacks.
func smileAuthorize(c *Call, k Credentials, now time.Time) error {
	at := now.UTC().Format(smileTime)
	var signature string
	err := k.lend(func(secret string) {
		m := hmac.New(sha256.New, []byte(secret))
		_, _ = m.Write([]byte(at + k.User + smileSuffix)) // a hash never fails
		signature = base64.StdEncoding.EncodeToString(m.Sum(nil))
	})
	if err != nil {
		return err
	}
	return c.addToBody(map[string]any{"partner_id": k.User, "timestamp": at, "signature": signature})
}

// addToBody puts members into the JSON object that a call sends.
func (c *Call) addToBody(members map[string]any) error {
	object := map[string]any{}
	if len(c.Body) > 0 {
		if err := json.Unmarshal(c.Body, &object); err != nil {
			return err
		}
	}
	maps.Copy(object, members)
	body, err := json.Marshal(object)
	c.Body = body
	return err
}

// smileRead: the answer's own time is when we asked, so what it says counts on arrival.
func smileRead(q Fetch, answers [][]byte, o Options) (Result, error) {
	if len(answers) == 0 {
		return Result{}, unreadable("answer", "is missing")
	}
	var a struct {
		Complete *bool          `json:"job_complete"`
		Result   raw[smileBody] `json:"result"` // a text while there is none
	}
	if err := decode(answers[0], &a); err != nil {
		return Result{}, err
	}
	var b smileBody
	if a.Result.Kind() == '{' {
		if err := decode(a.Result.Value, &b); err != nil {
			return Result{}, err
		}
	}
	var f fields
	user, job := unpair(q.Ref)
	r := Result{EventType: q.What}
	u := observe(smileName, smileVersion, r, time.Time{})
	if b.Code == "" { // no result yet: of what kind the job is, the answer does not say either
		if a.Complete != nil && *a.Complete {
			return Result{}, unreadable("result", "is missing")
		}
		r.Ignored, r.Unsettled = noStatus, true
		return r.unless(f.err)
	}
	f.asked("result.PartnerParams.user_id", user, b.Partner.UserID)
	f.asked("result.PartnerParams.job_id", job, b.Partner.JobID)
	if r.Ignored, r.Fault = b.ignored(&f); r.Ignored != "" || f.err != nil {
		if r.Ignored == unknownEv {
			return Result{}, unreadable("result.ResultCode", "is unknown")
		}
		return r.unless(f.err)
	}
	b.result(u, &r, o, &f)
	r.Unsettled = a.Complete == nil || !*a.Complete || r.Updates[0].Status == kyc.Pending
	for i := range r.Updates {
		if r.Unsettled && r.Updates[i].Status != kyc.Pending { // provisional
			doubted(&r.Updates[i])
		}
	}
	return r.unless(f.err)
}
