package web

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/vm/edge/authority"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// dispatcher answers requests at the entry, which the clusters of a user share: those for
// this daemon's cluster itself, all others through the daemons of their clusters.
type dispatcher struct {
	site   *site
	own    *certificates
	issuer *authority.Issuer
	peers  *peers
}

// ServeHTTP implements http.Handler.
func (d *dispatcher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := route.Host(r.Host)
	owner, rivals, err := d.owner(r.Context(), host)
	switch {
	case err != nil:
		page{status: http.StatusInternalServerError, title: "The clusters of this user cannot be listed", lines: []string{err.Error()}}.serve(w, r)
	case owner == d.site.cluster:
		d.site.serve(w, r, onLoopback)
	case owner != "":
		d.peers.forward(w, r, owner)
	case len(rivals) > 0:
		page{
			status: http.StatusConflict, title: "Several clusters have an Ingress or a Gateway for " + host,
			lines: []string{
				"They are " + strings.Join(rivals, ", ") + ".",
				"Give each a host of its own, for example one below CLUSTER." + route.Domain + ".",
			},
		}.serve(w, r)
	default:
		unknownHost(host).serve(w, r)
	}
}

// unknownHost returns a page that names no cluster and no Service: the host may be a
// web site's, whose name resolves to 127.0.0.1 to read what is here.
func unknownHost(host string) page {
	p := page{
		status: http.StatusNotFound, title: "No cluster answers for this host",
		lines: []string{"Services have names of the form SERVICE.NAMESPACE.CLUSTER." + route.Domain + ". See them: skiff services"},
	}
	if cluster := route.ClusterOf(host); cluster != "" {
		p.title = fmt.Sprintf("There is no cluster %q", cluster)
	}
	return p
}

// owner returns the cluster that answers for a host, as route.Owner does.
func (d *dispatcher) owner(ctx context.Context, host string) (string, []string, error) {
	if host == "" {
		return "", nil, nil
	}
	if route.ClusterOf(host) == d.site.cluster {
		return d.site.cluster, nil, nil
	}
	clusters, err := d.peers.clusters()
	if err != nil {
		return "", nil, err
	}
	if owner, _ := route.Owner(host, clusters, nil); owner != "" {
		return owner, nil, nil
	}
	claims := append(d.peers.claims(ctx, clusters), route.Claim{Cluster: d.site.cluster, Hosts: d.site.hosts()})
	owner, rivals := route.Owner(host, clusters, claims)
	return owner, rivals, nil
}

// certificate chooses the certificate of a TLS connection: the one that an Ingress
// names for the host, otherwise one of the local authority.
func (d *dispatcher) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := route.Host(hello.ServerName)
	owner, _, err := d.owner(hello.Context(), host)
	if err != nil {
		return nil, err
	}
	var found *tls.Certificate
	switch owner {
	case "":
	case d.site.cluster:
		if found, err = d.find(hello.Context(), host); err != nil {
			return nil, err
		}
	default:
		found = d.peers.certificate(hello.Context(), owner, host)
	}
	if found != nil {
		return found, nil
	}
	return d.issue(host)
}

// find returns the certificate that an Ingress of this cluster names for the host, nil if none
// does. That is a use of the cluster.
func (d *dispatcher) find(ctx context.Context, host string) (*tls.Certificate, error) {
	end, err := d.site.use(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	return d.own.find(ctx, host), nil
}

// insideCertificate chooses the certificate for a connection from a machine, which
// can only mean this cluster.
func (d *dispatcher) insideCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := route.Host(hello.ServerName)
	if found := d.own.find(hello.Context(), host); found != nil {
		return found, nil
	}
	return d.issue(host)
}

// issue returns a certificate of the local authority. Names that it may not sign get
// that of localhost, which clients reject unless they are told not to.
func (d *dispatcher) issue(host string) (*tls.Certificate, error) {
	if route.ClusterOf(host) == "" {
		host = route.Domain
	}
	return d.issuer.Certificate(host, time.Now())
}
