package daemonapi

// Services is what the host can reach of a cluster.
type Services struct {
	Services []Service `json:"services"`
	Ports    []Port    `json:"ports"`
	// Tunnel is the device through which this host reaches all addresses of the
	// cluster; empty if it is not connected.
	Tunnel string `json:"tunnel,omitempty"`
	// Names are the Services that answer by their name over HTTP, and Ingresses and
	// HTTPRoutes those that this host serves; none while the web entry is not served.
	Names      []WebName `json:"names,omitempty"`
	Ingresses  []Ingress `json:"ingresses,omitempty"`
	HTTPRoutes []Ingress `json:"httpRoutes,omitempty"`
	// Web and WebTLS are those of ClusterStatus.
	Web    string `json:"web,omitempty"`
	WebTLS string `json:"webTLS,omitempty"`
}

// WebName is the URL by which a Service answers on this host.
type WebName struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	URL       string `json:"url"`
}

// Ingress is an Ingress or an HTTPRoute that this host serves.
type Ingress struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// URLs have one entry for each host, which may be a wildcard; those of an HTTPRoute
	// one for each of HTTP and HTTPS.
	URLs []string `json:"urls"`
	// Message tells what is needed to reach them.
	Message string `json:"message,omitempty"`
}

// Service is a Kubernetes service that the host can reach.
type Service struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Type is the service's: "LoadBalancer" or "NodePort".
	Type      string `json:"type"`
	ClusterIP string `json:"clusterIP,omitempty"`
	// External are the addresses of a load balancer in the machines' network.
	External []string `json:"external,omitempty"`
	// Ready reports whether it has a ready endpoint.
	Ready bool          `json:"ready"`
	Ports []ServicePort `json:"ports"`
	// Message explains why the host does not answer for it.
	Message string `json:"message,omitempty"`
}

// ServicePort is a port of a Service.
type ServicePort struct {
	Name     string `json:"name,omitempty"`
	Protocol string `json:"protocol"`
	Port     int    `json:"port"`
	NodePort int    `json:"nodePort,omitempty"`
	// Host are the addresses at which the host answers, ADDRESS:PORT.
	Host []string `json:"host,omitempty"`
	// Problem explains why the host does not answer at the port's own number.
	Problem string `json:"problem,omitempty"`
}

// Port is a port of the host that the user opened.
type Port struct {
	// Port is in the form of skiff.yaml: "8080:svc/web:80".
	Port     string `json:"port"`
	Protocol string `json:"protocol"`
	// Target is the part of Port after the port of the host: "svc/web:80".
	Target string `json:"target"`
	// Host is where the host listens, ADDRESS:PORT; empty if it does not.
	Host string `json:"host,omitempty"`
	// Problem explains why it does not.
	Problem string `json:"problem,omitempty"`
}

// PortChange opens or closes ports.
type PortChange struct {
	// Add and Remove are ports in the form of skiff.yaml.
	Add    []string `json:"add,omitempty"`
	Remove []string `json:"remove,omitempty"`
}
