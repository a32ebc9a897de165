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
    /// From edges grouped by their source: `of(task)` gives the targets of each task, for tasks in the order of their ids.
    pub(super) fn from_rows<R: IntoIterator<Item = TaskId>>(
        rows: impl IntoIterator<Item = R>,
    ) -> Self {
        let mut starts = vec![0];
        let mut ends = Vec::new();
        for row in rows {
            ends.extend(row);
            starts.push(u32::try_from(ends.len()).expect("fewer than 2^32 dependencies"));
        }
        Self { starts, ends }
    }

    /// The tasks that `task` points to.
    pub(super) fn of(&self, task: TaskId) -> &[TaskId] {
        let (start, end) = (self.starts[task.index()], self.starts[task.index() + 1]);
        &self.ends[start as usize..end as usize]
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
        let mut starts = vec![0; self.starts.len()];
        for end in &self.ends {
            starts[end.index() + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut next = starts.clone();
        let mut ends = vec![TaskId::new(0); self.ends.len()];
        for source in (0..self.ids()).map(TaskId::new) {
            for target in self.of(source) {
                let slot = &mut next[target.index()];
                ends[*slot as usize] = source;
                *slot += 1;
            }
        }
        Self { starts, ends }
    }
}
