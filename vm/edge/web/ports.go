package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/loopback"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
	"github.com/skiff-dev/skiff/vm/home"
)

// Ports are the entry's ports on the host's loopback addresses. They are the same for
// all clusters of a user, and stay the same unless another program takes them.
type Ports struct {
	HTTP  int `json:"http"`
	HTTPS int `json:"https"`
}

// URLs returns the URLs of a cluster's Services, with SERVICE.NAMESPACE for the name of
// one.
func (p Ports) URLs(cluster string) (http, https string) {
	host := "SERVICE.NAMESPACE." + route.Name{Cluster: cluster}.String()
	return address("http", host, p.HTTP, 80), address("https", host, p.HTTPS, 443)
}

func address(scheme, host string, port, standard int) string {
	if port != standard {
		host = net.JoinHostPort(host, strconv.Itoa(port))
	}
	return scheme + "://" + host
}

// otherPorts is how many ports are tried from 7080 and 7443. They are not those that users
// choose first for their own, such as 8080.
const otherPorts = 100

// candidates returns the ports to try: the last one, the standard one, which may need
// rights, and those from first, without the reserved ones.
func candidates(last, standard, first int, reserved []int) []int {
	var all []int
	if last != 0 {
		all = append(all, last)
	}
	all = append(all, standard)
	for i := range otherPorts {
		all = append(all, first+i)
	}
	return slices.DeleteFunc(all, func(port int) bool { return slices.Contains(reserved, port) })
}

// ReadPorts returns the ports at which the clusters of a user can be reached; false if
// no daemon serves them.
func ReadPorts(h home.Home) (Ports, bool) {
	ports, err := readPorts(h)
	return ports, err == nil && ports != Ports{} && h.WebHeld()
}

func readPorts(h home.Home) (Ports, error) {
	var ports Ports
	content, err := os.ReadFile(h.Web())
	if errors.Is(err, fs.ErrNotExist) {
		return Ports{}, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &ports)
	}
	if err != nil {
		return Ports{}, fmt.Errorf("read the ports of the web entry: %w", err)
	}
	return ports, nil
}

func writePorts(h home.Home, ports Ports) error {
	content, err := json.Marshal(ports)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(h.Web(), append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the ports of the web entry: %w", err)
	}
	return nil
}

// listen listens at the first port that is free on all loopback addresses.
func listen(ports []int) ([]net.Listener, int, error) {
	var last error
	for _, port := range ports {
		listeners, err := loopback.Listen(port)
		if err == nil {
			return listeners, port, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.EPERM) {
			return nil, 0, err
		}
		last = err
	}
	return nil, 0, fmt.Errorf("no port is free for the web entry: %w", last)
}
