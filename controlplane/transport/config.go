package transport

import (
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"
)

// Client returns the configuration for clients of the component u. They have no
// rate limit, because the API server protects itself by priority and fairness. As
// in upstream's programs, warnings are dropped: they are for users of deprecated
// APIs, and the controllers of Endpoints use those for good reason.
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
		WarningHandler:     rest.NoWarnings{},
	}
}

// Loopback returns the configuration for clients of the API server itself. For a
// webhook behind the API server's own service, upstream adds the webhook's CA to a
// copy of it, and a configuration cannot have both a transport and a CA. Therefore
// the transport is set as a wrapper, which passes no request to what it wraps.
func (s *Server) Loopback() *rest.Config {
	c := s.Client(Privileged())
	c.WrapTransport = func(http.RoundTripper) http.RoundTripper { return s.As(Privileged()) }
	c.Transport = nil
	return c
}

// User returns the identity of a component with that user name.
func User(name string) user.Info {
	return &user.DefaultInfo{Name: name, Groups: []string{user.AllAuthenticated}}
}

// ServiceAccount returns the identity of a service account in kube-system, to which
// RBAC's bootstrap policy grants the rights of upstream's controllers.
func ServiceAccount(name string) user.Info {
	info := serviceaccount.UserInfo("kube-system", name, "").(*user.DefaultInfo)
	info.Groups = append(info.Groups, user.AllAuthenticated)
	return info
}

// Privileged returns the identity of the API server itself, which RBAC does not
// limit. Use it only for what must work before roles exist.
func Privileged() user.Info {
	return &user.DefaultInfo{Name: user.APIServerUser, Groups: []string{user.AllAuthenticated, user.SystemPrivilegedGroup}}
}
