package standby

import (
	"errors"
	"net"
)

// Conn is a connection that calls Ended when it is closed. Ended may be called several
// times.
type Conn struct {
	net.Conn
	Ended func()
}

// Close closes the connection.
func (c *Conn) Close() error {
	defer c.Ended()
	return c.Conn.Close()
}

// CloseWrite closes the sending direction, as load balancers do.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
