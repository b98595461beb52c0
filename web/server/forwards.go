package server

import (
	"context"
	"net/http"
	"strconv"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/kube/feed"
)

// maxForwards bounds the port-forwards of one session.
const maxForwards = 32

// forwarded is a port-forward.
type forwarded struct {
	ID        string `json:"id"`
	Address   string `json:"address"` // of this host
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Port      string `json:"port"` // of the pod
	State     string `json:"state"`
	Problem   string `json:"problem,omitempty"`
}

// forwardRequest starts a port-forward to a pod, or to a pod of a service or workload.
type forwardRequest struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	// Kind and Name may stand for Pod.
	Kind string `json:"kind"`
	Name string `json:"name"`
	Port any    `json:"port"` // a number, or the name of a port
}

func describe(f feed.Forwarded) forwarded {
	return forwarded{
		ID: f.ID, Address: "127.0.0.1:" + strconv.Itoa(f.Local), Kind: f.Ref.Resource.ID(), Namespace: f.Ref.Namespace, Name: f.Ref.Name,
		Port: f.Remote, State: f.State, Problem: f.Problem,
	}
}

func (s *Server) getForwards(w http.ResponseWriter, _ *http.Request, session *session) {
	all := []forwarded{}
	for _, f := range session.ports.List().All {
		all = append(all, describe(f))
	}
	jsonhttp.Write(w, all)
}

func (s *Server) postForward(w http.ResponseWriter, r *http.Request, session *session) {
	var request forwardRequest
	if err := jsonhttp.Decode(http.MaxBytesReader(w, r.Body, maxQuery), &request); err != nil {
		fail(w, http.StatusBadRequest, "read the request: "+err.Error(), "")
		return
	}
	port := ""
	switch p := request.Port.(type) {
	case float64:
		port = strconv.FormatFloat(p, 'f', -1, 64)
	case string:
		port = p
	}
	target := action{Kind: request.Kind, Namespace: request.Namespace, Name: request.Name}
	if request.Pod != "" {
		target.Kind, target.Name = "pods", request.Pod
	}
	ref, status, err := target.ref(r.Context(), session.client, s.config.Cluster)
	if err != nil {
		fail(w, status, kube.Reason(err), "")
		return
	}
	if len(session.ports.List().All) >= maxForwards {
		fail(w, http.StatusTooManyRequests, "too many port-forwards", "end one of them first")
		return
	}
	// It lasts until the session ends, not the request.
	life, end := context.WithCancel(context.WithoutCancel(r.Context()))
	local, err := session.ports.Start(life, session.client, ref, 0, port)
	if err != nil {
		end()
		failKubernetes(w, err)
		return
	}
	session.onEnd(end)
	for _, f := range session.ports.List().All {
		if f.Local == local {
			jsonhttp.Write(w, describe(f))
			return
		}
	}
	fail(w, http.StatusServiceUnavailable, "the session has ended", "")
}

func (s *Server) deleteForward(w http.ResponseWriter, r *http.Request, session *session) {
	session.ports.Stop(r.PathValue("id"))
	w.WriteHeader(http.StatusNoContent)
}
