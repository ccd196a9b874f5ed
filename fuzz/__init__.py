"""Coverage-guided fuzzing of everything that reads what savs did not write itself. Needs Linux and atheris.

::

    pip install -e '.[fuzz]'
    python -m fuzz images --seconds 900      # CPU seconds; goes on where the last call stopped
    python -m fuzz rows --replay FILE ...      # read these inputs once and say what happens

============  ===============================================================================================
target        what is read
============  ===============================================================================================
`images`      encoded images, by `savs.media.load_image`
`rows`        JSONL, JSON, CSV, TSV and Parquet files, by `savs.data.read_examples`
`store`       ``store.json`` and a part of a feature store, their checksums made right
`artifact`    ``savs.json`` and the safetensors file of a classifier, their checksums made right
`videos`      video files, by `savs.media.video.load_video`
`audio`       audio files, by `savs.media.audio.load_audio`
============  ===============================================================================================

A target is a module with

``SUFFIXES``
    the kinds of its input files; the first byte of a fuzzer's input picks one,
``ALLOWED``
    the exceptions that a bad input may raise,
``place(body, suffix, folder)``
    which writes an input where its reader expects it, checksums repaired, and returns the path,
``read(path)``
    which reads it as users do, and fails if the result is not valid,
``mutate(body, suffix, random)``
    which changes an input so that it still passes the first checks.

Any other exception, any leaked warning, a message that is not one printable line, a file left behind, more
than 20 seconds or more than 2 GiB is a finding. Findings are kept beside the corpus, one for each place in
the code; the small ones belong into ``tests/attacks/<target>/``, where the tests read them on every run.
"""
