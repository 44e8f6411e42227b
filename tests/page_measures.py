"""What a test asks an open page: whether it is ready, whether it fits, what a node shows."""

from browser import Page

HOSTILE = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
READY = "document.querySelector('#summary h1') !== null"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# The boxes of the graph as rectangles, and points on its lines that lie inside of a box.
OVERLAPS = """(() => {
  const boxes = [...document.querySelectorAll(".box:not(.head)")].map((box) => box.getBoundingClientRect());
  const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
  const meeting = boxes.filter((a, i) => boxes.some((b, j) => j > i && !apart(a, b))).length;
  const crossed = [...document.querySelectorAll(".edges path")].filter((path) => {
    const matrix = path.getScreenCTM();
    const length = path.getTotalLength();
    return Array.from({ length: 60 }, (_, i) => path.getPointAtLength((length * i) / 59).matrixTransform(matrix))
      .some((p) => boxes.some((b) => p.x > b.left + 2 && p.x < b.right - 2 && p.y > b.top + 1 && p.y < b.bottom - 1));
  }).length;
  return [boxes.length, meeting, crossed];
})()"""


def box(job: str) -> str:
    return f".box[data-job='{job}']"


def state_of(page: Page, job: str) -> str:
    return page.run(f'document.querySelector("{box(job)}").dataset.state')
