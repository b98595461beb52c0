package transport

import (
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"
)

// Client configures the clients of a component that is u. The API server
// shields itself by priority and fairness, so they have no rate limit of their
// own.
func (s *Server) Client(u user.Info) *rest.Config {
	return &rest.Config{
		Host:      "https://localhost",
		Transport: s.As(u),
		QPS:       -1,
		UserAgent: "skiff-controlplane/" + u.GetName(),
		ContentConfig: rest.ContentConfig{
			AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON,
			ContentType:        runtime.ContentTypeProtobuf,
		},
		DisableCompression: true,
	}
}

// Loopback configures the clients of the API server itself. Upstream adds a
// webhook's authority to a copy of it when a webhook is behind the API server's
// own service, and a configuration may have either a transport or an authority:
// so the transport comes as a wrapper here, which lets no request through to what
// it wraps.
func (s *Server) Loopback() *rest.Config {
	c := s.Client(Privileged())
	c.WrapTransport = func(http.RoundTripper) http.RoundTripper { return s.As(Privileged()) }
	c.Transport = nil
	return c
}

// User is a component by its user name.
func User(name string) user.Info {
	return &user.DefaultInfo{Name: name, Groups: []string{user.AllAuthenticated}}
}

// ServiceAccount is a component by its service account in kube-system, as
// RBAC's bootstrap policy knows upstream's controllers.
func ServiceAccount(name string) user.Info {
	info := serviceaccount.UserInfo("kube-system", name, "").(*user.DefaultInfo)
	info.Groups = append(info.Groups, user.AllAuthenticated)
	return info
}

// Privileged is the API server itself, whom RBAC does not bind; only what must
// work before there are roles may be it.
func Privileged() user.Info {
	return &user.DefaultInfo{Name: user.APIServerUser, Groups: []string{user.AllAuthenticated, user.SystemPrivilegedGroup}}
}
