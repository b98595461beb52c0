// Command coredns is the DNS server of the agnhost image. It has the plugins that
// upstream's tests configure; with all of them it would be three times the size.
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/log"
)

func main() { coremain.Run() }
