package daemon

import (
	"net/http"

	"github.com/skiff-dev/skiff/vm/edge/web"
)

// web lets the cluster's part of the web entry answer the entry of another daemon.
func (d *daemon) web(answer func(*web.Server, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := d.open()
		if f == nil {
			http.NotFound(w, r)
			return
		}
		answer(f.Web(), w, r)
	}
}
