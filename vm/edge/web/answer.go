package web

import (
	"net/http"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// AnswerHosts answers the entry of another daemon, at daemonapi.PathWebHosts.
func (s *Server) AnswerHosts(w http.ResponseWriter, _ *http.Request) {
	jsonhttp.Write(w, daemonapi.WebHosts{Hosts: s.site.hosts()})
}

// AnswerCertificate answers the entry of another daemon, at
// daemonapi.PathWebCertificate. Only the user can ask.
func (s *Server) AnswerCertificate(w http.ResponseWriter, r *http.Request) {
	found, err := s.dispatcher.find(r.Context(), r.URL.Query().Get("host"))
	if err != nil {
		return // the client is gone
	}
	if found == nil {
		http.NotFound(w, r)
		return
	}
	certificate, key, err := encode(found)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	jsonhttp.Write(w, daemonapi.WebCertificate{Certificate: certificate, Key: key})
}
