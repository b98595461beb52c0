package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// testDatabases has psql and the clients of Redis use servers in pods, through a load
// balancer and a port of the host. Meanwhile a transaction stays open, and none of ten
// thousand short connections is lost.
func testDatabases(t *testing.T, r *rig, name string, k *kube) {
	for _, program := range []string{"psql", "redis-cli", "redis-benchmark"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	r.skiff(t, "image", "load", "--cluster", name, r.image("databases.tar"))
	k.apply(t, "databases.yaml")
	k.rollout(t, "statefulset/postgres")
	k.rollout(t, "deployment/redis")
	balanced := r.awaitHost(t, name, k.namespace, "postgres", 25432)
	for _, at := range balanced {
		contains(t, "version at "+at, r.psql(t, at, "select version()"), "PostgreSQL ")
	}
	const port = "28379"
	forwarded := port + ":svc/" + k.namespace + "/redis:6379"
	r.skiff(t, "port", "add", "--cluster", name, forwarded)
	t.Cleanup(func() { r.skiff(t, "port", "remove", "--cluster", name, forwarded) })

	database := balanced[0]
	r.psql(t, database, "create table numbers (n bigint)")
	session := r.startPSQL(t, database)
	backend := session.ask("begin; insert into numbers select * from generate_series(1, 100000); select pg_backend_pid();")
	r.tryRedis(t, port)
	r.insertAtOnce(t, database, 100)
	equal(t, "backend of the session", session.ask("select pg_backend_pid();"), backend)
	equal(t, "rows of the session's transaction", session.ask("commit; select count(*) from numbers;"), "100100")

	// Every byte that the server sends arrives.
	want := r.psql(t, database, `select md5(string_agg(n || E'\n', '' order by n)) from numbers`)
	got := r.run(t, "sh", "-c", `psql -Xq "$0" -c '\copy (select n from numbers order by n) to stdout' | md5sum`, dsn(database))
	equal(t, "sum of the copied rows", strings.TrimSuffix(strings.TrimSpace(got.stdout), "  -"), want)

	// The pod that replaces the server answers at the same address, with the same data.
	k.kubectl(t, "delete", "pod", "postgres-0")
	eventually(t, waitLimit, "the new pod answers", func() error {
		if a := r.tryPSQL(t, database, "select count(*) from numbers"); strings.TrimSpace(a.stdout) != "100100" {
			return fmt.Errorf("%s%s", a.stdout, a.stderr)
		}
		return nil
	})
}

// tryRedis sends ten thousand commands, each over its own connection.
func (r *rig) tryRedis(t *testing.T, port string) {
	t.Helper()
	redis := func(args ...string) commandResult {
		return r.run(t, "redis-cli", append([]string{"-h", "127.0.0.1", "-p", port}, args...)...)
	}
	eventually(t, waitLimit, "Redis answers", func() error {
		if a := redis("ping"); a.stdout != "PONG\n" {
			return fmt.Errorf("%s%s", a.stdout, a.stderr)
		}
		return nil
	})
	const commands = "10000"
	a := r.run(t, "redis-benchmark", "-h", "127.0.0.1", "-p", port, "-k", "0", "-c", "20", "-n", commands, "-q", "incr", "connections")
	a.must(t, "redis-benchmark")
	arrived := redis("get", "connections")
	equal(t, "commands that arrived", arrived.stdout+arrived.stderr, commands+"\n")
	t.Logf("%s connections in %.1f s", commands, a.took.Seconds())
}

// insertAtOnce inserts rows, each with a psql of its own, ten at once.
func (r *rig) insertAtOnce(t *testing.T, at string, rows int) {
	t.Helper()
	work := make(chan int)
	var workers sync.WaitGroup
	for range 10 {
		workers.Go(func() {
			for n := range work {
				if a := r.tryPSQL(t, at, fmt.Sprintf("insert into numbers values (%d)", -n)); a.code != 0 {
					t.Errorf("row %d: %s", n, a.stderr)
				}
			}
		})
	}
	for n := range rows {
		work <- n
	}
	close(work)
	workers.Wait()
}

// dsn returns the connection string of the database at HOST:PORT.
func dsn(at string) string {
	host, port, _ := net.SplitHostPort(at)
	return fmt.Sprintf("host=%s port=%s user=postgres password=correct-horse dbname=postgres connect_timeout=10", host, port)
}

// psql returns the output of a statement.
func (r *rig) psql(t *testing.T, at, statement string) string {
	t.Helper()
	return strings.TrimSpace(r.tryPSQL(t, at, statement).must(t, "psql at", at))
}

func (r *rig) tryPSQL(t *testing.T, at, statement string) commandResult {
	t.Helper()
	a, err := r.attempt(time.Minute, "psql", dsn(at), "--no-psqlrc", "--tuples-only", "--no-align", "--command", statement)
	if err != nil {
		t.Error(err)
	}
	return a
}

// session is a psql that stays connected.
type session struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

func (r *rig) startPSQL(t *testing.T, at string) *session {
	t.Helper()
	command := exec.CommandContext(t.Context(), "psql", dsn(at), "--no-psqlrc", "--tuples-only", "--no-align", "--quiet")
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Wait() }) // t.Context has killed it, or it has lost its server
	return &session{t: t, in: in, out: bufio.NewScanner(out)}
}

// ask sends statements and returns the next line of output.
func (s *session) ask(statements string) string {
	s.t.Helper()
	if _, err := io.WriteString(s.in, statements+"\n"); err != nil {
		s.t.Fatal(err)
	}
	if !s.out.Scan() {
		s.t.Fatalf("the session has ended: %v", s.out.Err())
	}
	return s.out.Text()
}
