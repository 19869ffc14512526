use super::testing::File;
use super::{PushError, Reader, Ring, Shared, Sums};
use crate::wire::record::{Head, read_record};

/// What is known of a reader besides the reader itself.
struct Model {
    reader: Reader,
    /// The next record that it is to get has this number or a greater one.
    next: u64,
    /// What it was sent of a record that is not whole.
    part: Vec<u8>,
    frames: bool,
}

fn whole_records(part: &mut Vec<u8>) -> Vec<(u64, Vec<u8>)> {
    let mut out = Vec::new();
    while let Some(head) = Head::at(part, 0).filter(|head| head.size() <= part.len()) {
        let (view, frame) = read_record(&part[..head.size()]).unwrap();
        out.push((view.sequence, frame.to_vec()));
        part.drain(..head.size());
    }
    out
}

/// Frames that are four bytes of length, and so many.
fn whole_frames(part: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(length) = part.first_chunk::<4>() {
        let size = 4 + u32::from_le_bytes(*length) as usize;
        if part.len() < size {
            break;
        }
        out.push(part.drain(..size).collect());
    }
    out
}

fn frame(rng: &mut fastrand::Rng) -> Vec<u8> {
    let length = if rng.u8(..20) == 0 { rng.usize(..3000) } else { rng.usize(..60) };
    let mut frame = (length as u32).to_le_bytes().to_vec();
    frame.extend((0..length).map(|_| rng.u8(..)));
    frame
}

fn read(rng: &mut fastrand::Rng, ring: &mut Shared, model: &mut Model, records: &[(u64, Vec<u8>)]) {
    let room = rng.usize(1..400);
    let (bytes, taken) = if model.frames {
        let mut out = vec![0; room];
        let got = ring.peek(&mut model.reader, &mut out).unwrap();
        out.truncate(got);
        let front = ring.front(&mut model.reader).unwrap();
        let both = front.len().min(got);
        assert_eq!(front[..both], out[..both], "both ways of looking see the same");
        let taken = rng.usize(..=got);
        ring.sent(&mut model.reader, taken);
        (out, taken)
    } else {
        let out = ring.raw(&mut model.reader, room, u64::MAX).unwrap().to_vec();
        let taken = if rng.bool() { out.len() } else { rng.usize(..=out.len()) };
        ring.raw_sent(&mut model.reader, taken);
        (out, taken)
    };
    model.part.extend(&bytes[..taken]);
    let expected = |next: u64| records.iter().find(|(number, _)| *number >= next).expect("it was pushed");
    if model.frames {
        for got in whole_frames(&mut model.part) {
            let (number, frame) = expected(model.next);
            assert_eq!(got, *frame, "number {number}");
            model.next = number + 1;
        }
    } else {
        for (number, got) in whole_records(&mut model.part) {
            assert_eq!((number, &got), {
                let (n, f) = expected(model.next);
                (*n, f)
            });
            model.next = number + 1;
        }
    }
    assert_eq!(model.reader.is_begun(), !model.part.is_empty());
}

/// Gives up what is old; readers that are there yet go on where the ring begins.
fn release(rng: &mut fastrand::Rng, ring: &mut Shared, models: &mut [Model]) {
    let slowest = models.iter().map(|m| m.reader.sequence()).min().unwrap_or(u64::MAX);
    let until = if rng.u8(..4) == 0 { ring.behind_oldest(rng.usize(..2000)) } else { slowest };
    for model in models.iter_mut().filter(|m| m.next < until) {
        let rest = ring.take_begun(&mut model.reader, model.frames);
        if !rest.is_empty() {
            model.part.extend(&rest);
            let whole =
                if model.frames { whole_frames(&mut model.part).len() } else { whole_records(&mut model.part).len() };
            assert_eq!((whole, model.part.len()), (1, 0), "the rest makes it whole");
        }
        model.next = model.next.max(until).max(model.reader.sequence());
    }
    ring.release_to(until);
}

fn run(seed: u64, mut ring: Shared) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut records, mut models): (Vec<(u64, Vec<u8>)>, Vec<Model>) = (Vec::new(), Vec::new());
    for _ in 0..2500 {
        match rng.u8(..20) {
            0..8 => {
                let new = frame(&mut rng);
                match ring.push(&[&new[..2], &new[2..]], 0, None) {
                    Ok(number) => records.push((number, new)),
                    Err(PushError::Full { .. }) => release(&mut rng, &mut ring, &mut models),
                    Err(error) => panic!("{error}"),
                }
            }
            8 => {
                let at_least = ring.ring().next_sequence() + rng.u64(..3);
                ring.ring_mut().set_next_sequence(at_least);
            }
            9 if models.len() < 6 => {
                let (reader, next) = if rng.bool() {
                    (ring.reader_at_end(), ring.ring().next_sequence())
                } else {
                    let first = ring.ring().released_to();
                    let from = first + rng.u64(..=(ring.ring().next_sequence() - first));
                    (ring.reader(from), from)
                };
                models.push(Model { reader, next, part: Vec::new(), frames: rng.bool() });
            }
            10 if !models.is_empty() && rng.u8(..4) == 0 => _ = models.swap_remove(rng.usize(..models.len())),
            11 if !models.is_empty() && rng.u8(..3) == 0 => {
                // Its connection is gone: it begins again somewhere.
                let at = rng.usize(..models.len());
                let model = &mut models[at];
                let first = ring.ring().released_to();
                let from = first + rng.u64(..=(ring.ring().next_sequence() - first));
                ring.seek(&mut model.reader, from);
                (model.next, model.part) = (from, Vec::new());
            }
            12 => release(&mut rng, &mut ring, &mut models),
            13 => ring.ring_mut().checkpoint(),
            14 => {
                ring.ring_mut().checkpoint();
                ring.ring_mut().give_back();
            }
            _ if !models.is_empty() => {
                let at = rng.usize(..models.len());
                read(&mut rng, &mut ring, &mut models[at], &records);
            }
            _ => {}
        }
        ring.ring().check_invariants();
        for model in &models {
            ring.check_reader(&model.reader);
            let waits = records.iter().filter(|(number, _)| *number >= model.next.max(ring.ring().released_to()));
            assert_eq!(waits.count() as u64, ring.unsent(&model.reader), "what is unsent is what waits");
        }
    }
    for model in &mut models {
        while ring.unsent(&model.reader) > 0 {
            read(&mut rng, &mut ring, model, &records);
        }
    }
}

#[test]
fn each_reader_gets_what_a_plain_list_says() {
    for seed in 0..12 {
        run(seed, Shared::new(Ring::heap(6000, 1, Sums::AtPush)));
        let file = File::new();
        file.synced.set(seed % 2 == 0);
        run(seed, Shared::new(file.open(6000).0));
    }
}

#[test]
fn a_reader_costs_little_and_copies_nothing() {
    assert!(std::mem::size_of::<Reader>() <= 128);
    let mut ring = Shared::new(Ring::heap(1 << 20, 1, Sums::AtPush));
    ring.push(&[&[7; 100_000]], 0, None).unwrap();
    let capacity = ring.ring().capacity();
    let mut readers: Vec<Reader> = (0..1000).map(|_| ring.reader(0)).collect();
    for reader in &mut readers {
        let bytes = ring.raw(reader, usize::MAX, u64::MAX).unwrap().len();
        ring.raw_sent(reader, bytes);
    }
    assert_eq!(ring.ring().capacity(), capacity);
    assert!(readers.iter().all(|reader| ring.unsent(reader) == 0));
}

#[test]
fn damage_is_passed_over_by_all_readers() {
    for early in [false, true] {
        let file = File::new();
        let mut ring = Shared::new(file.open(1 << 20).0);
        let mut slow = ring.reader_at_end();
        for n in 0..6_u8 {
            ring.push(&[&[n; 24]], 0, None).unwrap();
        }
        let memory = ring.ring_mut().memory.bytes_mut();
        let at = memory.windows(24).position(|bytes| bytes == [2; 24]).unwrap();
        memory[at] = 9;
        let mut fast = ring.reader(if early { 1 } else { 4 });
        let mut got = [Vec::new(), Vec::new()];
        for (reader, got) in [&mut fast, &mut slow].into_iter().zip(&mut got) {
            while ring.unsent(reader) > 0 {
                match ring.raw(reader, usize::MAX, u64::MAX).map(<[u8]>::to_vec) {
                    Ok(mut bytes) => {
                        ring.raw_sent(reader, bytes.len());
                        got.extend(whole_records(&mut bytes).into_iter().map(|(_, frame)| frame[0]));
                    }
                    Err(_) => assert_eq!(ring.skip_damaged().records, 1),
                }
            }
        }
        assert_eq!(got[1], [0, 1, 3, 4, 5]);
        assert_eq!(got[0], if early { vec![0, 1, 3, 4, 5] } else { vec![3, 4, 5] });
    }
}
