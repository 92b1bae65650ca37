// All pictures and the table of a run. Given a model it shows it; given more of it, it
// shows that as well: `append` takes further rows of its columns, `refresh` the rest of a
// model anew.

class Page {
  constructor(pictures, jobs) {
    this.run = new Run();
    this.timeline = new Timeline(this.run, pictures);
    this.shapes = new Shapes(this.run, pictures);
    this.table = new JobTable(this.run, jobs, this.timeline);
    this.timeline.onPick = (job) => this.table.reveal(job);
    this.timeline.onZoom = () => {
      if (this.table.inView.checked) this.table.filter();
    };
    const again = () => this.draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    let due = 0;
    addEventListener("resize", () => {
      clearTimeout(due);
      due = setTimeout(again, 60);
    });
  }

  // Forgets all rows; the model is told anew as well.
  reset() {
    this.run.clear();
    this.table.forget();
    this.timeline.forget();
  }

  append(model) {
    this.run.append(model);
  }

  refresh(model) {
    this.run.about(model);
    const drawn = this.run.bars.n > 0;
    document.getElementById("time").hidden = !drawn;
    if (drawn) this.timeline.refresh();
    this.shapes.draw();
    this.table.refresh();
  }

  draw() {
    if (this.run.bars.n > 0) this.timeline.draw();
    this.shapes.draw();
    this.table.draw();
  }
}
