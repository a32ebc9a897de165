//! Edges in one array, with an index by task: compact, and fast to walk.
//!
//! Knows nothing of what the edges mean.

use crate::task::TaskId;

/// For each task, the tasks that it points to.
pub(super) struct Adjacency {
    /// Where the edges of a task begin; one more than there are tasks.
    starts: Vec<u32>,
    ends: Vec<TaskId>,
}

impl Adjacency {
    /// From edges grouped by their source: the targets of each task, for tasks in the order of their ids.
    pub(super) fn from_rows<R: IntoIterator<Item = TaskId>>(
        rows: impl ExactSizeIterator<Item = R>,
    ) -> Self {
        let mut adjacency = Self::with_capacity(rows.len());
        rows.for_each(|row| adjacency.push_row(row));
        adjacency
    }

    /// No tasks yet; there will be so many.
    pub(super) fn with_capacity(tasks: usize) -> Self {
        let mut starts = Vec::with_capacity(tasks + 1);
        starts.push(0);
        Self {
            starts,
            ends: Vec::new(),
        }
    }

    /// Adds the targets of the next task.
    pub(super) fn push_row(&mut self, row: impl IntoIterator<Item = TaskId>) {
        self.ends.extend(row);
        self.end_row();
    }

    /// Adds a target of the next task, whose row [`Adjacency::end_sorted_row`] ends.
    pub(super) fn push(&mut self, target: TaskId) {
        self.ends.push(target);
    }

    /// The targets of the next task are those that were pushed since; sorted, each once.
    pub(super) fn end_sorted_row(&mut self) {
        let start = self.starts[self.ids()] as usize;
        let row = &mut self.ends[start..];
        if !row.is_sorted_by(|one, other| one < other) {
            row.sort_unstable();
            let mut kept = 0;
            for place in 1..row.len() {
                if row[place] != row[kept] {
                    kept += 1;
                    row[kept] = row[place];
                }
            }
            self.ends.truncate(start + kept + 1);
        }
        self.end_row();
    }

    fn end_row(&mut self) {
        let end = u32::try_from(self.ends.len()).expect("fewer than 2^32 dependencies");
        self.starts.push(end);
    }

    /// The tasks that `task` points to.
    pub(super) fn of(&self, task: TaskId) -> &[TaskId] {
        let (start, end) = (self.starts[task.index()], self.starts[task.index() + 1]);
        &self.ends[start as usize..end as usize]
    }

    /// By task: to how many it points.
    pub(super) fn lens(&self) -> impl Iterator<Item = u32> {
        self.starts.windows(2).map(|ends| ends[1] - ends[0])
    }

    /// How many edges there are.
    pub(super) fn edge_count(&self) -> usize {
        self.ends.len()
    }

    /// How many tasks there are.
    pub(super) fn ids(&self) -> usize {
        self.starts.len() - 1
    }

    /// The same edges the other way round; the targets of each task in the order of their ids.
    pub(super) fn reversed(&self) -> Self {
        // Counts become ends, and ends, as the rows fill up from behind, starts.
        let mut starts = vec![0; self.starts.len()];
        for end in &self.ends {
            starts[end.index()] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut ends = vec![TaskId::new(0); self.ends.len()];
        for source in (0..self.ids()).rev().map(TaskId::new) {
            for target in self.of(source) {
                let slot = &mut starts[target.index()];
                *slot -= 1;
                ends[*slot as usize] = source;
            }
        }
        Self { starts, ends }
    }
}
