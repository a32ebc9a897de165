//! The tasks of one library that are there from the start: found by name, and small where they declare little.
//!
//! Knows nothing of other libraries, nor of what names in `after` stand for.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::index::Index;
use super::texts::Texts;
use super::{Arguments, Caller, Declared, Ending, LibraryId, Options, Place, Task, Template};

/// Where tasks stay that are functions and made of no template: the table of their library. All but their names and
/// [`Options`] is read there when somebody asks.
pub trait Source: Send + Sync {
    /// Runs the task at `index`; none where it passed and returned nothing, as most tasks do.
    fn call(&self, index: u32, caller: &Caller<'_>) -> Option<Box<Ending>>;
    /// Visits the names of its dependencies as declared.
    fn after<'a>(&'a self, index: u32, visit: &mut dyn FnMut(&'a str));
    /// Visits its labels.
    fn tags<'a>(&'a self, index: u32, visit: &mut dyn FnMut(&'a str));
    /// Its name, as the library holds it.
    fn name(&self, index: u32) -> &str;
    /// What it does, in words.
    fn doc(&self, index: u32) -> &str;
    /// Where it is declared.
    fn place(&self, index: u32) -> Option<Place>;
}

/// The tasks of a library, in declaration order, and its templates.
pub struct Tasks {
    library: LibraryId,
    names: Texts,
    index: Index,
    /// The first two places of one name.
    duplicate: Option<(usize, usize)>,
    source: Option<Arc<dyn Source>>,
    /// By task, as far as some declare any: the place of its options in `options`, and 1; or 0.
    declared: Vec<u32>,
    /// All that are declared; equal ones once.
    options: Vec<Arc<Options>>,
    /// Where each task is. Nothing where all are in the source, in its order.
    homes: Vec<Home>,
    own: Vec<Task>,
    /// In declaration order.
    pub(super) templates: Vec<Template>,
}

/// Where a task is: in the source at an index; or with [`Home::OWN`] set, among those that are kept here.
#[derive(Clone, Copy)]
struct Home(u32);

impl Home {
    const OWN: u32 = 1 << 31;
}

/// Tasks in the making: not to be found before all are there.
pub struct TasksBuilder {
    tasks: Tasks,
    /// The places of options in those of the tasks.
    known: HashMap<Arc<Options>, u32>,
}

impl TasksBuilder {
    /// None yet; there will be about `capacity`.
    pub fn new(library: LibraryId, source: Option<Arc<dyn Source>>, capacity: usize) -> Self {
        let tasks = Tasks {
            library,
            names: Texts::with_capacity(capacity),
            index: Index::default(),
            duplicate: None,
            source,
            declared: Vec::new(),
            options: Vec::new(),
            homes: Vec::new(),
            own: Vec::new(),
            templates: Vec::new(),
        };
        Self {
            tasks,
            known: HashMap::new(),
        }
    }

    /// Adds a task, or a template. One that has choices for all parameters is there as all the tasks that they make.
    ///
    /// # Panics
    /// Where a choice does not pass the check of its own parameter; loading refuses such tables.
    pub fn add(&mut self, declared: Declared) {
        match declared {
            Declared::Task(task) => self.keep(task),
            Declared::Template(template) => {
                for arguments in template.expand().into_iter().flatten() {
                    let task = template.instance(arguments);
                    self.keep(task.unwrap_or_else(|misfit| panic!("a choice: {misfit:?}")));
                }
                self.tasks.templates.push(template);
            }
        }
    }

    /// Adds the task that stays in the source at `index`.
    pub fn add_at(&mut self, index: u32, name: &str, options: Option<Options>) {
        if let Some(options) = options {
            let options = self.share(options.into());
            self.tasks.declared.resize(self.len(), 0);
            self.tasks.declared.push(options + 1);
        }
        if !self.tasks.homes.is_empty() || index as usize != self.len() {
            self.push_home(Home(index));
        }
        self.tasks.names.push(name);
    }

    /// The place of options among those that are kept.
    fn share(&mut self, options: Arc<Options>) -> u32 {
        let all = &mut self.tasks.options;
        let shared = self.known.entry(options).or_insert_with_key(|options| {
            all.push(Arc::clone(options));
            u32::try_from(all.len() - 1).expect("no more than tasks")
        });
        *shared
    }

    fn keep(&mut self, task: Task) {
        let place = u32::try_from(self.tasks.own.len()).expect("fewer than 2^31 tasks");
        self.push_home(Home(place | Home::OWN));
        self.tasks.names.push(&task.name);
        self.tasks.own.push(task);
    }

    fn push_home(&mut self, home: Home) {
        let homes = &mut self.tasks.homes;
        let count = u32::try_from(self.tasks.names.len()).expect("fewer than 2^31 tasks");
        if homes.is_empty() {
            homes.extend((0..count).map(Home));
        }
        homes.push(home);
    }

    /// How many tasks there are so far.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// There is no task so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them.
    pub fn build(mut self) -> Tasks {
        (self.tasks.index, self.tasks.duplicate) = Index::new(&self.tasks.names);
        self.tasks
    }
}

impl Tasks {
    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// There is no task.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In declaration order.
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// The tasks, in declaration order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TaskRef<'_>> {
        (0..self.len()).map(|place| self.get(place))
    }

    /// The first two tasks of one name.
    pub fn duplicate(&self) -> Option<(TaskRef<'_>, TaskRef<'_>)> {
        let (one, other) = self.duplicate?;
        Some((self.get(one), self.get(other)))
    }

    /// Where the task of that name is; the first of them.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.index.find(&self.names, name)
    }

    /// The same of many names.
    pub(super) fn find_all(&self, names: &[&str], found: &mut Vec<Option<usize>>) {
        self.index.find_all(&self.names, names, found);
    }

    /// Forgets names and options of all that stays in the source: for those who call tasks, and ask nothing else of them.
    pub(super) fn keep_calls_only(&mut self) {
        self.names = Texts::default();
        self.index = Index::default();
        self.declared = Vec::new();
    }

    pub(super) fn library(&self) -> LibraryId {
        self.library
    }

    pub(super) fn get(&self, place: usize) -> TaskRef<'_> {
        let index = match self.homes.get(place) {
            Some(Home(own)) if own & Home::OWN != 0 => {
                return TaskRef::from(&self.own[(own & !Home::OWN) as usize]);
            }
            Some(Home(index)) => *index,
            #[expect(clippy::cast_possible_truncation, reason = "checked when it was added")]
            None => place as u32,
        };
        TaskRef(Kind::Read {
            options: self.shared(place),
            names: &self.names,
            place,
            library: self.library,
            source: &**self
                .source
                .as_ref()
                .expect("a source, as there are such tasks"),
            index,
        })
    }

    /// Runs a task, as [`TaskRef::call`] does.
    pub(super) fn call(&self, place: usize, caller: &Caller<'_>) -> Option<Box<Ending>> {
        match (&self.source, self.homes.is_empty()) {
            #[expect(clippy::cast_possible_truncation, reason = "checked when it was added")]
            (Some(source), true) => source.call(place as u32, caller),
            _ => self.get(place).call(caller),
        }
    }

    /// The name of a task, without a look at the rest of it.
    pub(super) fn name(&self, place: usize) -> &str {
        self.names.get(place)
    }

    /// What a task declares, without a look at the rest of it.
    pub(super) fn declared(&self, place: usize) -> Option<&Arc<Options>> {
        match self.homes.get(place) {
            Some(Home(own)) if own & Home::OWN != 0 => self.get(place).declared(),
            _ => self.shared(place),
        }
    }

    /// The options of a task that stays in the source.
    fn shared(&self, place: usize) -> Option<&Arc<Options>> {
        match self.declared.get(place) {
            None | Some(0) => None,
            Some(options) => Some(&self.options[*options as usize - 1]),
        }
    }

    pub(super) fn own_mut(&mut self, place: usize) -> Option<&mut Task> {
        let Home(own) = self
            .homes
            .get(place)
            .filter(|home| home.0 & Home::OWN != 0)?;
        Some(&mut self.own[(own & !Home::OWN) as usize])
    }
}

/// A task, wherever it is kept.
#[derive(Clone, Copy)]
pub struct TaskRef<'a>(Kind<'a>);

#[derive(Clone, Copy)]
enum Kind<'a> {
    Own(&'a Task),
    Read {
        names: &'a Texts,
        place: usize,
        library: LibraryId,
        options: Option<&'a Arc<Options>>,
        source: &'a dyn Source,
        index: u32,
    },
}

impl<'a> From<&'a Task> for TaskRef<'a> {
    fn from(task: &'a Task) -> Self {
        Self(Kind::Own(task))
    }
}

impl<'a> TaskRef<'a> {
    /// The name that the library gave it; unique in the library.
    pub fn name(self) -> &'a str {
        match self.0 {
            Kind::Own(task) => &task.name,
            Kind::Read { names, place, .. } => names.get(place),
        }
    }

    /// The same, also of a catalog that keeps calls only.
    pub fn name_in_source(self) -> &'a str {
        match self.0 {
            Kind::Own(task) => &task.name,
            Kind::Read { source, index, .. } => source.name(index),
        }
    }

    /// Where it comes from.
    pub fn library(self) -> LibraryId {
        match self.0 {
            Kind::Own(task) => task.library,
            Kind::Read { library, .. } => library,
        }
    }

    /// Visits the names of its dependencies as declared: in the same library, or `library::task`; also globs.
    pub fn each_after(self, visit: &mut dyn FnMut(&'a str)) {
        match self.0 {
            Kind::Own(task) => task.after.iter().for_each(|name| visit(name)),
            Kind::Read { source, index, .. } => source.after(index, visit),
        }
    }

    /// The same as a list.
    pub fn after(self) -> Vec<&'a str> {
        let mut names = Vec::new();
        self.each_after(&mut |name| names.push(name));
        names
    }

    /// Its labels.
    pub fn tags(self) -> Vec<&'a str> {
        match self.0 {
            Kind::Own(task) => task.tags.iter().map(|tag| &**tag).collect(),
            Kind::Read { source, index, .. } => {
                let mut tags = Vec::new();
                source.tags(index, &mut |tag| tags.push(tag));
                tags
            }
        }
    }

    /// What it does, in words; may be empty.
    pub fn doc(self) -> &'a str {
        match self.0 {
            Kind::Own(task) => &task.doc,
            Kind::Read { source, index, .. } => source.doc(index),
        }
    }

    /// Where it is declared.
    pub fn place(self) -> Option<Place> {
        match self.0 {
            Kind::Own(task) => task.place.clone(),
            Kind::Read { source, index, .. } => source.place(index),
        }
    }

    /// Runs it; none where it passed and returned nothing, as most tasks do.
    pub fn call(self, caller: &Caller<'_>) -> Option<Box<Ending>> {
        match self.0 {
            Kind::Own(task) => match (task.action)(caller) {
                Ending::Passed(None) => None,
                ending => Some(Box::new(ending)),
            },
            Kind::Read { source, index, .. } => source.call(index, caller),
        }
    }

    /// It runs a program, which is a process of its own already.
    pub fn is_program(self) -> bool {
        match self.0 {
            Kind::Own(task) => task.is_program,
            Kind::Read { .. } => false,
        }
    }

    /// What it declares besides name, dependencies and labels; nothing where it is all as usual.
    pub fn declared(self) -> Option<&'a Arc<Options>> {
        match self.0 {
            Kind::Own(task) => task.options.as_ref(),
            Kind::Read { options, .. } => options,
        }
    }

    /// The same, as usual where it declares nothing.
    pub fn options(self) -> &'a Options {
        static NONE: LazyLock<Options> = LazyLock::new(Options::default);
        self.declared().map_or(&NONE, |options| options)
    }

    /// The values of its parameters, where it is made of a template.
    pub fn arguments(self) -> &'a Arguments {
        match self.0 {
            Kind::Own(task) => &task.arguments,
            Kind::Read { .. } => Arguments::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Parameter, Pattern};

    /// A table in which every task is declared on the line of its index.
    struct Lines;

    impl Source for Lines {
        fn call(&self, _: u32, _: &Caller<'_>) -> Option<Box<Ending>> {
            None
        }
        fn after<'a>(&'a self, _: u32, _: &mut dyn FnMut(&'a str)) {}
        fn tags<'a>(&'a self, _: u32, _: &mut dyn FnMut(&'a str)) {}
        fn name(&self, _: u32) -> &'static str {
            ""
        }
        fn doc(&self, _: u32) -> &'static str {
            ""
        }
        fn place(&self, index: u32) -> Option<Place> {
            let file = "table".into();
            Some(Place { file, line: index })
        }
    }

    #[test]
    fn tasks_keep_their_order_wherever_they_are_kept() {
        let pattern = Pattern::parse("p::[n]").unwrap();
        let mut parameter = Parameter::text("n");
        parameter.choices = Some(["1".into(), "2".into()].into());
        let task = Task {
            name: "p::[n]".into(),
            library: LibraryId(0),
            after: [].into(),
            tags: [].into(),
            doc: "".into(),
            place: None,
            action: Arc::new(|_| Ending::Passed(None)),
            options: None,
            arguments: Arguments::default(),
            is_program: false,
        };
        let exclusive = || {
            Some(Options {
                exclusive: true,
                ..Options::default()
            })
        };
        let mut tasks = TasksBuilder::new(LibraryId(0), Some(Arc::new(Lines)), 5);
        tasks.add_at(0, "a", None);
        tasks.add(Template::new(task, pattern, [parameter].into()).into());
        tasks.add_at(2, "b", exclusive());
        tasks.add_at(3, "c", None);
        tasks.add_at(4, "d", exclusive());
        let tasks = tasks.build();

        let line = |task: TaskRef<'_>| task.place().map(|place| place.line);
        let told: Vec<_> = tasks.iter().map(|task| (task.name(), line(task))).collect();
        let expected = [
            ("a", Some(0)),
            ("p::1", None),
            ("p::2", None),
            ("b", Some(2)),
            ("c", Some(3)),
            ("d", Some(4)),
        ];
        assert_eq!(told, expected);
        for (place, (name, _)) in expected.into_iter().enumerate() {
            assert_eq!(tasks.find(name), Some(place));
        }
        let declared = [3, 4, 5].map(|place| tasks.get(place).declared());
        let [Some(b), None, Some(d)] = declared else {
            panic!("{declared:?}");
        };
        assert!(b.exclusive && Arc::ptr_eq(b, d));
    }
}
