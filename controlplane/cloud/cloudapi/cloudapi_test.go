package cloudapi

import (
	"net/netip"
	"strings"
	"testing"
)

func valid() LoadBalancer {
	return LoadBalancer{
		Namespace: "default", Name: "web.v1", UID: "0a-1B", Nodes: []string{"worker-1"},
		Ports:        []Port{{Name: "http", Protocol: "TCP", Port: 80, NodePort: 30080}, {Protocol: "SCTP", Port: 65535}},
		SourceRanges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
	}
}

func TestValidateRefusesWhatNoServiceHas(t *testing.T) {
	if err := valid().Validate(); err != nil {
		t.Errorf("a valid one: %v", err)
	}
	for name, change := range map[string]func(*LoadBalancer){
		"no UID":           func(l *LoadBalancer) { l.UID = "" },
		"UID with a slash": func(l *LoadBalancer) { l.UID = "a/b" },
		"long UID":         func(l *LoadBalancer) { l.UID = strings.Repeat("a", 65) },
		"no namespace":     func(l *LoadBalancer) { l.Namespace = "" },
		"bad name":         func(l *LoadBalancer) { l.Name = "A b" },
		"long name":        func(l *LoadBalancer) { l.Name = strings.Repeat("a", 254) },
		"no ports":         func(l *LoadBalancer) { l.Ports = nil },
		"many ports":       func(l *LoadBalancer) { l.Ports = make([]Port, 1001) },
		"port 0":           func(l *LoadBalancer) { l.Ports[0].Port = 0 },
		"protocol":         func(l *LoadBalancer) { l.Ports[0].Protocol = "ICMP" },
		"name of a port":   func(l *LoadBalancer) { l.Ports[0].Name = "\x1b[1m" },
		"many nodes":       func(l *LoadBalancer) { l.Nodes = make([]string, 257) },
		"bad node":         func(l *LoadBalancer) { l.Nodes[0] = "../worker" },
		"range":            func(l *LoadBalancer) { l.SourceRanges[0] = netip.Prefix{} },
		"many ranges":      func(l *LoadBalancer) { l.SourceRanges = make([]netip.Prefix, 1001) },
	} {
		l := valid()
		change(&l)
		if err := l.Validate(); err == nil || len(err.Error()) > 1500 || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
