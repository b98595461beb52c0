package operation

import (
	"errors"
	"fmt"
	"testing"

	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/vm/image"
)

func TestAMissingImageComesWithTheCommandThatMakesIt(t *testing.T) {
	missing, other := fmt.Errorf("%w in /x", image.ErrNotFound), fmt.Errorf("%w: /x", image.ErrOther)
	for _, c := range []struct {
		err           error
		version, want string
	}{
		{missing, "", `build it with "make image", or set SKIFF_IMAGE_DIR to its directory`},
		{missing, kubenames.Default, `build it with "make image", or set SKIFF_IMAGE_DIR to its directory`},
		{missing, "1.35", `build it with "make image KUBERNETES=1.35", or install a release with "install.sh --kubernetes 1.35"`},
		{other, "1.35", `build it again with "make image", or use the image of this program's release`},
		{errors.New("incomplete"), "1.35", `build it with "make image KUBERNETES=1.35", or install a release with "install.sh --kubernetes 1.35"`},
	} {
		if got := NoImage(c.err, c.version); !got.Invalid || got.Cause != c.err.Error() || got.Hint != c.want {
			t.Errorf("%v, %q: %+v", c.err, c.version, got)
		}
	}
}
