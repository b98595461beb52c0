package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// page shows what arrives as server-sent events and over a WebSocket.
const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>workload</title><link rel="icon" href="data:,"></head>
<body><output id="events"></output><output id="socket"></output>
<script>
const show = (id, text) => { document.getElementById(id).textContent += text + " " }
new EventSource("/events").onmessage = event => show("events", event.data)
const socket = new WebSocket(location.origin.replace("http", "ws") + "/socket")
socket.onopen = () => { socket.send("one"); socket.send("two") }
socket.onmessage = event => show("socket", event.data)
</script></body></html>
`

func servePage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, page)
}

// serveEvents sends three server-sent events, and keeps the answer open until the client
// closes it.
func serveEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range 3 {
		fmt.Fprintf(w, "data: %d\n\n", i+1)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	<-r.Context().Done()
}

// serveSocket echoes the messages of a WebSocket, which only a page of the same origin may
// open.
func serveSocket(w http.ResponseWriter, r *http.Request) {
	var upgrader websocket.Upgrader
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	defer func() { _ = conn.Close() }()
	conn.SetReadLimit(maxBody)
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if err := conn.WriteMessage(kind, message); err != nil {
			return
		}
	}
}
